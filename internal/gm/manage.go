package gm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/url"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/ace/iregexp"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// The admin interface: draft-ietf-ace-oscore-gm-admin-17 ("GMA").

// managePath is the first segment of the group-collection resource's path; the
// group configurations are below it. GMA, Section 2.1.
const managePath = "manage"

// manageRoute is one method of one admin resource.
type manageRoute struct {
	path   string // below /manage; GROUP stands for one segment
	method coap.Code
	need   ace.Perm // for the group that the path names
	change string   // what it changes; "": it only reads
	serve  func(*administration) (*coap.Message, error)
}

// manageRoutes lists the admin resources. GMA, Section 6.
func manageRoutes() []manageRoute {
	return []manageRoute{
		{"", coap.GET, ace.PermList, "", (*administration).list},
		{"", coap.FETCH, ace.PermList, "", (*administration).filter},
		{"", coap.POST, ace.PermCreate, "manage create", (*administration).create},
		{"GROUP", coap.GET, ace.PermRead, "", (*administration).read},
		{"GROUP", coap.FETCH, ace.PermRead, "", (*administration).readSome},
		{"GROUP", coap.POST, ace.PermWrite, "manage overwrite", (*administration).overwrite},
		{"GROUP", coap.PATCH, ace.PermWrite, "manage update", (*administration).patch},
		{"GROUP", coap.IPATCH, ace.PermWrite, "manage update", (*administration).ipatch},
		{"GROUP", coap.DELETE, ace.PermDelete, "manage delete", (*administration).remove},
		{"GROUP/members", coap.GET, ace.PermRead, "", (*administration).members},
		{"GROUP/evict", coap.POST, ace.PermWrite, "manage evict", (*administration).evict},
		{"GROUP/rekey", coap.GET, ace.PermRead, "", (*administration).progress},
		{"GROUP/rekey", coap.POST, ace.PermWrite, "manage rekey", (*administration).rekey},
	}
}

// grant is one admin entry of a token, ready to match.
type grant struct {
	groups iregexp.Matcher
	perm   ace.Perm
}

// administration is one request of an administrator that runs in one transaction.
type administration struct {
	*exchange // group is nil for the collection
	grants    []grant
	name      string
}

// perm is the union of what the token's admin entries grant for a name. GMA,
// Section 6.
func (a *administration) perm(name string) (p ace.Perm) {
	for _, g := range a.grants {
		if g.groups.Match(name) {
			p |= g.perm
		}
	}
	return p
}

// manage answers a request for an admin resource: path is what follows /manage.
func (s *Server) manage(ctx context.Context, req *coap.Request, path []string) *coap.Message {
	if len(path) > 1 { // who has asked meanwhile has the keys
		if err := s.noteHeard(ctx); err != nil {
			return s.broken(managePath, err)
		}
	}
	var resp *coap.Message
	if coap.HasOption(req.Message, coap.OptionObserve) && (req.Code == coap.GET || req.Code == coap.FETCH) && announced(path) {
		resp = s.watched.register(s, ctx, req, path)
	} else {
		resp = s.manageOnce(ctx, req, path)
	}
	s.logReading(req, resp)
	return resp
}

// logReading logs what an administrator has read; changes and refusals log
// themselves. GMA, Section 9.2.
func (s *Server) logReading(req *coap.Request, resp *coap.Message) {
	if coap.Class(resp.Code) == 2 && (req.Code == coap.GET || req.Code == coap.FETCH) {
		s.log.Info("an administrator read", "method", req.Code.String(), "path", coap.Path(req.Message), "association", req.Peer.Name)
	}
}

// manageOnce answers without a look at Observe.
func (s *Server) manageOnce(ctx context.Context, req *coap.Request, path []string) *coap.Message {
	route, refusal := findManaged(req.Code, path)
	var a *administration
	var resp *coap.Message
	work := func(tx store.Tx) (err error) {
		a = &administration{exchange: &exchange{s: s, ctx: ctx, tx: tx, req: req, now: s.cfg.Now()}}
		if len(path) > 0 {
			a.name = path[0]
		}
		if resp, err = a.admit(route, refusal); err != nil || resp != nil {
			return err
		}
		resp, err = route.serve(a)
		return err
	}
	var err error
	if route == nil || route.change == "" {
		err = s.cfg.Store.View(ctx, work)
	} else {
		err = s.commit(ctx, route.change, work)
	}
	if err != nil {
		return s.broken(managePath, err)
	}
	for _, f := range a.after {
		f()
	}
	return acceptable(req, resp)
}

// findManaged picks the route, or says what is wrong with the path or the method.
func findManaged(method coap.Code, path []string) (*manageRoute, *coap.Message) {
	refusal := coap.Problem(coap.NotFound, "There is no such resource here.")
	if slices.Contains(path, "") { // it would name nothing, and nobody to check
		return nil, refusal
	}
	pattern := slices.Clone(path)
	if len(pattern) > 0 {
		pattern[0] = "GROUP"
	}
	for _, r := range manageRoutes() {
		if joinPath(pattern) != r.path {
			continue
		}
		if r.method == method {
			return &r, nil
		}
		refusal = coap.Problem(coap.MethodNotAllowed, "The resource does not know this method.")
	}
	return nil, refusal
}

// admit checks that this client may make the request, in the order of GMA, Sections
// 4 and 6: a token with an admin entry, one for this group, the permission; only
// then whether there is such a method and such a group, and what If-Match says.
func (a *administration) admit(route *manageRoute, refusal *coap.Message) (*coap.Message, error) {
	var err error
	if a.assoc, err = load[associationRecord](a.tx, associationKey(a.req.Peer.Name)); err != nil {
		return nil, err
	}
	if a.assoc == nil || a.assoc.Revoked || uint64(a.now.Unix()) >= a.assoc.Expires {
		return a.s.unauthorized(), nil
	}
	if a.grants = grants(a.assoc.Scope); len(a.grants) == 0 {
		return a.s.unauthorized(), nil
	}
	switch {
	case a.name != "" && a.perm(a.name) == 0:
		return coap.Problem(coap.Forbidden, "The token is not for administering this group."), nil
	case refusal != nil:
		return refusal, nil
	case a.name == "":
		return a.checkMatch(nil), nil
	case !a.perm(a.name).Has(route.need):
		return coap.Problem(coap.Forbidden, "The token does not permit this on this group."), nil
	}
	if a.group, err = load[groupRecord](a.tx, groupKey(a.name)); err != nil {
		return nil, err
	}
	if a.group == nil {
		return coap.Problem(coap.NotFound, "There is no such group."), nil
	}
	return a.checkMatch(a.etag()), nil
}

// grants reads the admin entries of a token's scope. The user entries beside them
// say nothing here. GMA, Section 6.
func grants(scope []byte) []grant {
	parsed, err := ace.ParseScope(scope)
	if err != nil {
		return nil
	}
	var all []grant
	for _, e := range parsed.Admins {
		if m, err := iregexp.Compile(e.Groups); err == nil {
			all = append(all, grant{m, e.Perm})
		}
	}
	return all
}

// checkMatch refuses a request whose If-Match Options name other representations.
// An empty one stands for any. RFC 7252, Section 5.10.8.1.
func (a *administration) checkMatch(etag []byte) *coap.Message {
	if !coap.HasOption(a.req.Message, coap.OptionIfMatch) {
		return nil
	}
	for want := range coap.Each(a.req.Message, coap.OptionIfMatch) {
		if len(want) == 0 || etag != nil && bytes.Equal(want, etag) {
			return nil
		}
	}
	return coap.Problem(coap.PreconditionFailed, "The group's configuration has changed since.")
}

// acceptable answers 4.06 to who asks for another format than there is. RFC 7252,
// Section 5.10.4.
func acceptable(req *coap.Request, resp *coap.Message) *coap.Message {
	want, asked := coap.OptionUint(req.Message, coap.OptionAccept)
	if got, has := coap.ContentFormat(resp); !asked || !has || coap.Class(resp.Code) != 2 || got == int(want) {
		return resp
	}
	if req.Code != coap.GET && req.Code != coap.FETCH {
		return resp // it has been done
	}
	return coap.Problem(coap.NotAcceptable, "The resource has no such format.")
}

// etagLen is how much of a representation's hash makes its ETag.
const etagLen = 8

// etag names the current representation of the group's configuration.
func (a *administration) etag() []byte { return etagOf(ace.Encode(a.configuration())) }

func etagOf(representation []byte) []byte {
	sum := sha256.Sum256(representation)
	return sum[:etagLen]
}

// decodeBody reads a configuration in a request. A refusal is for what cannot be
// read at all; invalid says which parameters are not known or not of their type.
func (a *administration) decodeBody() (c *ace.Configuration, invalid error, refusal *coap.Message) {
	if refusal := a.checkFormat(); refusal != nil {
		return nil, nil, refusal
	}
	c, err := ace.DecodeConfiguration(a.req.Payload)
	if c == nil {
		return nil, nil, coap.Problem(coap.BadRequest, "The payload is no group configuration.")
	}
	return c, err, nil
}

// checkFormat wants application/ace-groupcomm+cbor. GMA, Section 6.
func (a *administration) checkFormat() *coap.Message {
	switch format, ok := coap.ContentFormat(a.req.Message); {
	case !ok:
		return coap.Problem(coap.BadRequest, "The Content-Format 261 is missing.")
	case format != ace.FormatACEGroupcomm:
		return coap.Problem(coap.UnsupportedFormat, "The Content-Format is to be 261.")
	}
	return nil
}

// groupPath is the path of a resource of a group in a URI.
func groupPath(first, name string) string { return "/" + first + "/" + url.PathEscape(name) }
