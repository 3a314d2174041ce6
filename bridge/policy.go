package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/ace"
	"lamplighter/internal/as"
)

// policyText is a person's policy as operators read and write it: roles and
// permissions by their names, times as in RFC 3339.
type policyText struct {
	Rules []ruleText `json:"rules"`
	Until *time.Time `json:"until,omitempty"` // the end of the person's access
}

type ruleText struct {
	Group   string     `json:"group"`             // a name, "floor-*", "*" or "/floor-[0-9]+/"
	Self    []string   `json:"self,omitempty"`    // roles of the person
	Devices []string   `json:"devices,omitempty"` // roles of devices that the person joins
	Model   string     `json:"model,omitempty"`   // of the devices, or a beginning of it with *
	Device  string     `json:"device,omitempty"`  // the id of the only device
	Admin   []string   `json:"admin,omitempty"`   // permissions on the groups' configurations
	GM      string     `json:"gm,omitempty"`      // the audience of the only Group Manager
	Until   *time.Time `json:"until,omitempty"`
}

// policyRequest asks for a person's policy, or replaces it.
type policyRequest struct {
	Who    string      `json:"who"` // name or id
	Policy *policyText `json:"policy,omitempty"`
}

var (
	roleBits = []ace.Role{ace.RoleRequester, ace.RoleResponder, ace.RoleMonitor, ace.RoleVerifier}
	permBits = []ace.Perm{ace.PermList, ace.PermCreate, ace.PermRead, ace.PermWrite, ace.PermDelete}
)

// words names the bits that are set.
func words[B interface {
	~uint
	fmt.Stringer
}](set B, bits []B) (names []string) {
	for _, b := range bits {
		if set&b != 0 {
			names = append(names, b.String())
		}
	}
	return names
}

// bitsOf reads words.
func bitsOf[B interface {
	~uint
	fmt.Stringer
}](names []string, bits []B) (set B, err error) {
	for _, name := range names {
		found := false
		for _, b := range bits {
			if b.String() == name {
				set, found = set|b, true
			}
		}
		if !found {
			return 0, fmt.Errorf("%q is none of %s", name, strings.Join(words(^B(0), bits), ", "))
		}
	}
	return set, nil
}

func ending(seconds uint64) *time.Time {
	if seconds == 0 {
		return nil
	}
	t := time.Unix(int64(seconds), 0).UTC()
	return &t
}

func secondsOf(t *time.Time) uint64 {
	if t == nil {
		return 0
	}
	return uint64(max(t.Unix(), 1)) // long ago is an end, too
}

func textOf(p as.Policy) policyText {
	text := policyText{Rules: []ruleText{}, Until: ending(p.Until)}
	for _, r := range p.Rules {
		text.Rules = append(text.Rules, ruleText{
			Group: r.Group, Self: words(r.Self, roleBits), Devices: words(r.Devices, roleBits), Model: r.Model,
			Device: r.Device, Admin: words(r.Admin, permBits), GM: r.Audience, Until: ending(r.Until),
		})
	}
	return text
}

// policy gives old the rules and the end that the text has.
func (t policyText) policy(old as.Policy) (as.Policy, error) {
	p := old
	p.Rules, p.Until = nil, secondsOf(t.Until)
	for _, r := range t.Rules {
		rule := as.Rule{Group: r.Group, Audience: r.GM, Model: r.Model, Device: strings.ToLower(r.Device), Until: secondsOf(r.Until)}
		var err error
		if rule.Self, err = bitsOf(r.Self, roleBits); err != nil {
			return p, err
		}
		if rule.Devices, err = bitsOf(r.Devices, roleBits); err != nil {
			return p, err
		}
		if rule.Admin, err = bitsOf(r.Admin, permBits); err != nil {
			return p, err
		}
		p.Rules = append(p.Rules, rule)
	}
	return p, p.Check()
}

// policy answers with the policy of a person, enrolled or invited, after replacing
// its rules when that is asked for.
func (r *asRole) policy(ctx context.Context, in policyRequest) (policyText, error) {
	list, err := r.people(ctx)
	if err != nil {
		return policyText{}, err
	}
	found, err := find(list, in.Who)
	if err != nil {
		return policyText{}, err
	}
	p, err := r.server.PolicyOf(ctx, found[0].ID)
	if err != nil || in.Policy == nil {
		return textOf(p), err
	}
	if p, err = in.Policy.policy(p); err != nil {
		return policyText{}, control.Refuse("%w", err)
	}
	return textOf(p), r.server.SetPolicy(ctx, found[0].ID, p)
}

type policyCmd struct {
	Who string `arg:"" name:"name" help:"Name of the person, or the id where several have that name."`
	Set string `placeholder:"FILE" help:"Replace the policy by the one in this file; - reads standard input."`
	atAS
}

// Help is what `lamplighter policy --help` adds.
func (policyCmd) Help() string {
	return "Prints what the Authorization Server lets a person have: rules that each allow roles and admin permissions in groups, perhaps for a class of devices or until a time. Change the file and give it back with --set.\n" +
		"Tokens that were issued stay what they are until they expire; `lamplighter revoke` ends them."
}

func (c policyCmd) Run(ctx context.Context) error {
	ask := policyRequest{Who: c.Who}
	if c.Set != "" {
		text, err := readPolicy(c.Set)
		if err != nil {
			return err
		}
		ask.Policy = text
	}
	got, err := callAS[policyText](ctx, c.atAS, "POST", "/policy", ask)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(got)
}

// maxPolicy is far above what as many rules as there may be take.
const maxPolicy = 1 << 20

func readPolicy(path string) (*policyText, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxPolicy))
	if err != nil {
		return nil, err
	}
	return parsePolicy(raw)
}

func parsePolicy(raw []byte) (*policyText, error) {
	body := json.NewDecoder(bytes.NewReader(raw))
	body.DisallowUnknownFields()
	var text *policyText
	err := body.Decode(&text)
	if err == nil && (text == nil || body.More()) {
		err = errors.New("one object is needed")
	}
	if err != nil {
		return nil, fmt.Errorf("this is no policy; lamplighter policy NAME prints one: %w", err)
	}
	if _, err := text.policy(as.Policy{}); err != nil {
		return nil, err
	}
	return text, nil
}
