package gm

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/ace/iregexp"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// list answers GET /manage: links to the configurations of the groups that the
// token speaks of. GMA, Section 6.1.
func (a *administration) list() (*coap.Message, error) {
	return a.links(func(*groupRecord) bool { return true })
}

// filter answers FETCH /manage: of these links, those whose groups have the values
// that the payload gives. GMA, Section 6.2.
func (a *administration) filter() (*coap.Message, error) {
	f, invalid, refusal := a.decodeBody()
	if refusal != nil {
		return refusal, nil
	}
	if invalid != nil || f.AppGroupsDiff.Present {
		return coap.Problem(coap.BadRequest, "The filter has parameters that are not known or not of their type."), nil
	}
	name, err := iregexp.Compile(f.GroupName.Or(ace.AnyGroup))
	if err != nil || f.GroupName.Present && f.GroupName.Value.Kind == ace.PatternAny {
		return coap.Problem(coap.BadRequest, "group_name is neither a name nor an I-Regexp."), nil
	}
	if f.Policies.Present {
		f.Policies = ace.Is(normalPolicies(f.Policies.Value))
	}
	return a.links(func(g *groupRecord) bool {
		return name.Match(g.Name) && a.s.configuration(g).Matches(*f) &&
			(!f.AppGroups.Present || sameNames(f.AppGroups.Value, g.AppGroups))
	})
}

func sameNames(a, b []string) bool {
	a, b = slices.Compact(slices.Sorted(slices.Values(a))), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// links answers with links in the order of the names.
func (a *administration) links(match func(*groupRecord) bool) (*coap.Message, error) {
	var links []coap.Link
	var failed error
	err := a.tx.Scan(groupKey(""), func(key string, data []byte) bool {
		if a.perm(strings.TrimPrefix(key, groupKey(""))) == 0 {
			return true
		}
		g := new(groupRecord)
		if failed = cbor.Unmarshal(data, g); failed == nil && match(g) {
			links = append(links, link(groupPath(managePath, g.Name), ace.ResourceTypeGroupConf))
		}
		return failed == nil
	})
	if failed != nil {
		return nil, fmt.Errorf("reading a stored group: %w", failed)
	}
	return coap.Respond(coap.Content, coap.FormatLink, coap.FormatLinks(links)), err
}

func link(target, rt string, more ...coap.Attribute) coap.Link {
	return coap.Link{Target: target, Attributes: append([]coap.Attribute{{Name: "rt", Value: rt}}, more...)}
}

// create answers POST /manage. GMA, Section 6.3.
func (a *administration) create() (*coap.Message, error) {
	asked, notRead, refusal := a.decodeBody()
	if refusal != nil {
		return refusal, nil
	}
	wanted := asked.GroupName.Or(ace.AnyGroup)
	if wanted.Kind != ace.PatternName {
		return coap.Problem(coap.BadRequest, "group_name: a name is needed."), nil
	}
	if !a.perm(wanted.Text).Has(ace.PermCreate) {
		return coap.Problem(coap.Forbidden, "The token does not permit to create this group."), nil
	}
	whole := defaults(*asked).With(*asked)
	if refusal := a.check(*asked, whole, notRead, forbiddenInCreate, coap.BadRequest); refusal != nil {
		return refusal, nil
	}
	name, err := a.freeName(wanted.Text)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return ace.Problem(coap.ServiceUnavailable, ace.ErrorNoName, "The name is taken, and there is no other with the same permissions."), nil
	}
	if err := a.make(name, whole); err != nil {
		return nil, err
	}
	if err := a.saveGroup(); err != nil {
		return nil, err
	}
	a.noteConfiguration("created a group")
	resp := groupcomm(coap.Created, a.outcome(*asked))
	coap.AddOption(resp, coap.OptionLocationPath, []byte(managePath))
	coap.AddOption(resp, coap.OptionLocationPath, []byte(name))
	return resp, nil
}

// forbiddenInCreate are the parameters that are the Group Manager's to set. GMA,
// Section 6.3.
var forbiddenInCreate = []int{ace.AdminRT, ace.GroupcommProfile, ace.AdminJoiningURI, ace.AdminAppGroupsDiff}

// check refuses what cannot be: first what is not supported, then what is not read,
// not allowed or not valid, then, with the code for a conflict, what does not go
// together in the whole configuration. GMA, Section 6.3.
func (a *administration) check(asked, whole ace.Configuration, notRead error, forbidden []int, conflict coap.Code) *coap.Message {
	if why := a.s.unsupported(asked, whole); why != "" {
		return ace.Problem(coap.ServiceUnavailable, ace.ErrorUnsupportedConfig, why)
	}
	if notRead != nil {
		return coap.Problem(coap.BadRequest, notRead.Error())
	}
	for _, label := range asked.Labels() {
		if slices.Contains(forbidden, label) {
			return coap.Problem(coap.BadRequest, fmt.Sprintf("Parameter %d is not for this request.", label))
		}
	}
	if why := invalid(asked, a.now); why != "" {
		return coap.Problem(coap.BadRequest, why)
	}
	if uri := asked.ASURI.Or(a.s.cfg.AS); uri != a.s.cfg.AS && a.s.cfg.AS == "" {
		return coap.Problem(coap.BadRequest, "as_uri: not trusted here, and there is no other")
	}
	if why := inconsistent(whole); why != "" {
		return coap.Problem(conflict, why)
	}
	return nil
}

// maxNames is how many alternatives to a name that is taken are tried.
const maxNames = 99

// freeName is the name that was asked for or, when it is taken, another that gives
// this administrator the same permissions; "" when there is none. GMA, Section 6.3.
func (a *administration) freeName(wanted string) (string, error) {
	free := func(name string) (bool, error) {
		old, err := a.tx.Get(groupKey(name))
		return old == nil, err
	}
	if ok, err := free(wanted); ok || err != nil {
		return wanted, err
	}
	perm := a.perm(wanted)
	for n := 2; n <= maxNames; n++ {
		for _, form := range []string{"%s-%d", "%s%d"} {
			name := fmt.Sprintf(form, wanted, n)
			if !ace.ValidGroupName(name) || a.perm(name) != perm {
				continue
			}
			if ok, err := free(name); ok || err != nil {
				return name, err
			}
		}
	}
	return "", nil
}

// make makes the record of a new group, with version 0 of its keys.
func (a *administration) make(name string, c ace.Configuration) error {
	algs, curve := algorithms(c)
	g := &groupRecord{
		Name: name, Algs: algs, Curve: curve, SenderIDs: min(defaultSenderIDs, senderIDs(algs)),
		Stale: []staleSet{{}},
	}
	g.setStatus(c)
	var err error
	if g.Prefix, err = a.s.newPrefix(a.tx, name); err != nil {
		return err
	}
	if err := g.newMaterial(a.s.rand, a.now); err != nil {
		return err
	}
	if c.EXP.Present {
		g.Expires = c.EXP.Value
	}
	a.group = g
	return a.tx.Put(gidKey(g.GID), []byte(name))
}

// setStatus takes over what of a complete configuration is neither an algorithm nor
// about the current keys.
func (g *groupRecord) setStatus(c ace.Configuration) {
	g.Inactive = !c.Active.Value
	g.Description = nil
	if text := c.GroupDescription; !text.Null {
		g.Description = &text.Value
	}
	g.MaxStaleSets = int(c.MaxStaleSets.Value)
	g.AppGroups = nil
	for _, app := range c.AppGroups.Value {
		if !slices.Contains(g.AppGroups, app) {
			g.AppGroups = append(g.AppGroups, app)
		}
	}
	g.setPolicies(c.Policies.Value)
}

// outcome is the payload of the answer to a change: what the Group Manager decided,
// and what it did not do as asked. GMA, Section 6.3.
func (a *administration) outcome(asked ace.Configuration) ace.Configuration {
	whole := a.configuration()
	told := ace.Configuration{GroupName: whole.GroupName, JoiningURI: whole.JoiningURI, ASURI: whole.ASURI}
	if asked.GIDReuse.Or(false) {
		told.GIDReuse = ace.Is(false) // every Gid is given out once only
	}
	return told
}

// noteConfiguration logs a change of the configuration with what it is now, without
// what may be private in it. GMA, Section 9.2.
func (a *administration) noteConfiguration(what string) {
	c := a.configuration()
	c.GroupDescription, c.AppGroups = ace.Param[string]{}, ace.Param[[]string]{}
	a.note(what, "association", a.assoc.ID, slog.String("configuration", fmt.Sprintf("%x", ace.Encode(c))))
}
