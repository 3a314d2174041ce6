package admin

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// root is the path of the group-collection resource. GMA, Section 2.1.
const root = "manage"

// newRequest makes a request for the collection (name is empty), a group, or a
// resource below it. Names are path segments whatever is in them.
func newRequest(method coap.Code, name string, body []byte, below ...string) *coap.Message {
	m := coap.NewRequest(method, "", body)
	coap.AddOption(m, coap.OptionURIPath, []byte(root))
	if name != "" {
		coap.AddOption(m, coap.OptionURIPath, []byte(name))
	}
	for _, segment := range below {
		coap.AddOption(m, coap.OptionURIPath, []byte(segment))
	}
	return m
}

// call makes a request whose payload is in application/ace-groupcomm+cbor and checks
// the answer's code.
func (c *Client) call(ctx context.Context, method coap.Code, name string, body, etag []byte) (*coap.Message, error) {
	m := newRequest(method, name, body)
	if body != nil {
		coap.AddUint(m, coap.OptionContentFormat, ace.FormatACEGroupcomm)
	}
	if etag != nil {
		coap.AddOption(m, coap.OptionIfMatch, etag)
	}
	return c.do(ctx, m)
}

func (c *Client) do(ctx context.Context, m *coap.Message) (*coap.Message, error) {
	resp, err := c.gm.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	return resp, check(resp)
}

// configuration reads an answer that carries a group configuration.
func configuration(m *coap.Message) (*ace.Configuration, error) {
	if format, ok := coap.ContentFormat(m); !ok || format != ace.FormatACEGroupcomm {
		return nil, fmt.Errorf("%w: Content-Format", ErrDecode)
	}
	conf, err := ace.DecodeConfiguration(m.Payload)
	if conf == nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return conf, nil // parameters that are not known here are left out
}

func (c *Client) group(m *coap.Message) (*Group, error) {
	conf, err := configuration(m)
	if err != nil {
		return nil, err
	}
	if !c.pointsHere(conf.JoiningURI.Or("")) {
		conf.JoiningURI = ace.Param[string]{}
	}
	return &Group{*conf, coap.GetOption(m, coap.OptionETag)}, nil
}

// outcome reads the answer to a change. GMA, Section 6.3.
func (c *Client) outcome(m *coap.Message) (*Outcome, error) {
	conf, err := configuration(m)
	if err != nil {
		return nil, err
	}
	name := conf.GroupName.Or(ace.AnyGroup)
	if name.Kind != ace.PatternName || !conf.JoiningURI.Present || !conf.ASURI.Present {
		return nil, fmt.Errorf("%w: group_name, joining_uri or as_uri is missing", ErrDecode)
	}
	return c.outcomeOf(*conf), nil
}

func (c *Client) outcomeOf(conf ace.Configuration) *Outcome {
	out := &Outcome{Name: conf.GroupName.Value.Text, ASURI: conf.ASURI.Value, Told: conf}
	if uri := conf.JoiningURI.Value; c.pointsHere(uri) {
		out.JoiningURI = uri
	} else {
		out.ForeignURI = uri
	}
	return out
}

// location is the Location-Path of an answer.
func location(m *coap.Message) (path []string) {
	for segment := range coap.Each(m, coap.OptionLocationPath) {
		path = append(path, string(segment))
	}
	return path
}

// Listing is a list of groups.
type Listing struct {
	Names   []string // of the groups, in the order of the answer
	Foreign []string // links that are not taken: to another host, or to no group configuration
}

// listing reads links to group configurations and takes those that point to the
// Group Manager that was asked. GMA, Sections 6.1 and 10.3.
func (c *Client) listing(m *coap.Message) (*Listing, error) {
	if format, ok := coap.ContentFormat(m); !ok || format != coap.FormatLink {
		return nil, fmt.Errorf("listing groups: %w: Content-Format", ErrDecode)
	}
	links, err := coap.ParseLinks(m.Payload)
	if err != nil {
		return nil, fmt.Errorf("listing groups: %w: %w", ErrDecode, err)
	}
	list := &Listing{Names: []string{}}
	for _, l := range links {
		if name, ok := c.target(l); ok {
			list.Names = append(list.Names, name)
		} else {
			list.Foreign = append(list.Foreign, l.Target)
		}
	}
	return list, nil
}

// target is the name of the group whose configuration a link points to.
func (c *Client) target(l coap.Link) (name string, ok bool) {
	u, err := url.Parse(l.Target)
	if err != nil || !l.Matches("rt", ace.ResourceTypeGroupConf) || !c.pointsHere(l.Target) || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), "/"+root+"/")
	if !ok {
		return "", false
	}
	name, err = url.PathUnescape(rest)
	return name, err == nil && !strings.Contains(rest, "/") && ace.ValidGroupName(name)
}

// pointsHere reports whether a URI is on the host by which the Group Manager is
// reached: the scheme is CoAP's, the host is the same, and so is the port, when both
// name one. A reference without a host is. GMA, Section 10.3.
func (c *Client) pointsHere(uri string) bool {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.User != nil || u.Opaque != "":
		return false
	case u.Scheme == "" && u.Host == "":
		return strings.HasPrefix(u.Path, "/")
	case c.host == "" || !strings.HasPrefix(u.Scheme, "coap"):
		return false
	}
	here := url.URL{Host: c.host}
	return sameHost(u.Hostname(), here.Hostname()) && (u.Port() == here.Port() || u.Port() == "" || here.Port() == "")
}

// sameHost compares names without case and addresses by value.
func sameHost(a, b string) bool {
	ip, err1 := netip.ParseAddr(a)
	other, err2 := netip.ParseAddr(b)
	if err1 == nil && err2 == nil {
		return ip.Unmap() == other.Unmap()
	}
	return err1 != nil && err2 != nil && a != "" && strings.EqualFold(a, b)
}
