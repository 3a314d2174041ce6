package as

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/ace/iregexp"
)

// Role is what a person is at a site. It says who may manage people; what a
// person may do in groups stands in the rules of the [Policy] (see [PolicyFor]).
type Role string

// Roles of people.
const (
	RoleAdmin      Role = "admin"      // everything, people too
	RoleInstaller  Role = "installer"  // creates, equips and commands groups
	RoleMaintainer Role = "maintainer" // commands groups and reads their configuration
	RoleViewer     Role = "viewer"     // listens and reads
)

// Roles are all of them, the mightiest first.
var Roles = []Role{RoleAdmin, RoleInstaller, RoleMaintainer, RoleViewer}

// Policy says what a person may do, as data: it is stored with the invitation and
// then with the person.
type Policy struct {
	// Site is whose devices the installer registers and acts for. Installers
	// of one site share its devices; empty is a site of the installer's own.
	Site  string `cbor:"1,keyasint,omitempty" json:"site,omitempty"`
	Rules []Rule `cbor:"2,keyasint,omitempty" json:"rules"`
	Role  Role   `cbor:"8,keyasint,omitempty" json:"role,omitempty"`  // empty: installer
	Until uint64 `cbor:"4,keyasint,omitempty" json:"until,omitempty"` // the person's last second, since 1970; 0: no end
	With  string `cbor:"5,keyasint,omitempty" json:"with,omitempty"`  // without Site: the id of the person whose own site it is
}

// Rule allows roles and admin permissions in groups. What several rules allow
// adds up.
//
// Group is a name, a beginning with "*" behind it, "*" for every group, or an
// I-Regexp (RFC 9485) between slashes, "/floor-[0-9]+/".
type Rule struct {
	Group    string   `cbor:"1,keyasint" json:"group"`
	Self     ace.Role `cbor:"2,keyasint,omitempty" json:"self,omitempty"`     // for the installer
	Devices  ace.Role `cbor:"3,keyasint,omitempty" json:"devices,omitempty"`  // for devices of the site, in assisted joins
	Audience string   `cbor:"4,keyasint,omitempty" json:"audience,omitempty"` // at this Group Manager; empty: at each
	Admin    ace.Perm `cbor:"5,keyasint,omitempty" json:"admin,omitempty"`    // for the installer, on the groups' configurations; with List
	Model    string   `cbor:"6,keyasint,omitempty" json:"model,omitempty"`    // Devices is for this class: a model, or a beginning with "*"; empty: each
	Device   string   `cbor:"7,keyasint,omitempty" json:"device,omitempty"`   // Devices is for the one with this id; empty: each
	Until    uint64   `cbor:"8,keyasint,omitempty" json:"until,omitempty"`    // the rule's last second, since 1970; 0: no end
}

// ErrPolicy is returned for a policy that makes no sense.
var ErrPolicy = errors.New("unusable policy")

const maxRules = 256

// Policy gives the policy of a role in groups with these names; without any, in
// every group there is or will be. An admin's are all in any case: names only make
// a default scope. It fails with [ErrPolicy].
func (r Role) Policy(groups ...string) (Policy, error) {
	if !slices.Contains(Roles, r) {
		return Policy{}, fmt.Errorf("%w: %q is no role of a person", ErrPolicy, string(r))
	}
	if r == RoleAdmin && len(groups) > 0 && !slices.Contains(groups, "*") {
		groups = append(slices.Clone(groups), "*")
	}
	p := PolicyFor(r, groups...)
	return p, p.Check()
}

// PolicyFor is the policy of a role in exactly these groups; without any, in every
// group there is or will be.
func PolicyFor(role Role, groups ...string) Policy {
	if len(groups) == 0 {
		groups = []string{"*"}
	}
	var rule Rule
	switch role {
	case RoleAdmin, RoleInstaller:
		rule.Self = ace.RoleRequester | ace.RoleMonitor
		rule.Devices = ace.RoleRequester | ace.RoleResponder | ace.RoleMonitor
		rule.Admin = ace.PermAll
	case RoleMaintainer:
		rule.Self = ace.RoleRequester | ace.RoleMonitor
		rule.Admin = ace.PermList | ace.PermRead
	default:
		rule.Self = ace.RoleMonitor
		rule.Admin = ace.PermList | ace.PermRead
	}
	p := Policy{Role: role}
	for _, group := range groups {
		rule.Group = group
		p.Rules = append(p.Rules, rule)
	}
	return p
}

// AllGroups is the policy of an installer who may command and equip these groups;
// without any, every group there is or will be.
func AllGroups(names ...string) Policy { return PolicyFor(RoleInstaller, names...) }

// role is Role with its default.
func (p Policy) role() Role {
	if p.Role == "" {
		return RoleInstaller
	}
	return p.Role
}

// Check returns an error that wraps [ErrPolicy] when a rule can allow nothing.
func (p Policy) Check() error {
	if len(p.Rules) > maxRules || len(p.Site) > maxName || len(p.With) > maxName {
		return fmt.Errorf("%w: more than %d rules, or too long a site", ErrPolicy, maxRules)
	}
	if !slices.Contains(Roles, p.role()) {
		return fmt.Errorf("%w: role %q", ErrPolicy, p.Role)
	}
	for _, r := range p.Rules {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r Rule) check() error {
	pattern, err := r.groups()
	if err == nil {
		_, err = iregexp.Compile(pattern)
	}
	switch roles := r.Self | r.Devices; {
	case err != nil:
		return fmt.Errorf("%w: %q is no group name and no pattern of them", ErrPolicy, r.Group)
	case roles != 0 && !roles.Valid(), r.Admin != 0 && !r.Admin.Valid(), roles == 0 && r.Admin == 0:
		return fmt.Errorf("%w: roles or permissions for %q", ErrPolicy, r.Group)
	case strings.Contains(strings.TrimSuffix(r.Model, "*"), "*"), len(r.Model) > maxName+1:
		return fmt.Errorf("%w: %q is no model and no beginning of one", ErrPolicy, r.Model)
	case r.Device != "" && !validDeviceID(r.Device):
		return fmt.Errorf("%w: %q is no device's id", ErrPolicy, r.Device)
	}
	return nil
}

// groups is Group as the pattern of a scope.
func (r Rule) groups() (ace.Pattern, error) {
	stem, isStem := strings.CutSuffix(r.Group, "*")
	expr, isExpr := strings.CutPrefix(r.Group, "/")
	switch {
	case r.Group == "*":
		return ace.AnyGroup, nil
	case isExpr && len(expr) > 1 && strings.HasSuffix(expr, "/"):
		return ace.RegexpGroups(expr[:len(expr)-1]), nil
	case isStem && ace.ValidGroupName(stem) && !strings.Contains(stem, "*"):
		return beginsAndEnds(stem, ""), nil
	case !isStem && ace.ValidGroupName(r.Group) && !strings.Contains(r.Group, "*"):
		return ace.NamedGroup(r.Group), nil
	}
	return ace.Pattern{}, ErrPolicy
}

// named returns the one name that the rule is about; ok is false when it is about
// more.
func (r Rule) named() (name string, ok bool) {
	p, err := r.groups()
	return p.Text, err == nil && p.Kind == ace.PatternName
}

// asking is what a token request is decided by, besides the scope.
type asking struct {
	audience string
	assisted bool
	device   string // in assisted joins: the device's id
	model    string // and its class
	now      uint64 // seconds since 1970
}

// applies reports whether a rule is in force for who asks.
func (r Rule) applies(a asking) bool {
	if r.Audience != "" && r.Audience != a.audience || r.Until != 0 && a.now >= r.Until {
		return false
	}
	return !a.assisted || (r.Device == "" || r.Device == a.device) && matchesModel(r.Model, a.model)
}

func matchesModel(pattern, model string) bool {
	if stem, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(model, stem)
	}
	return pattern == "" || pattern == model
}

func (r Rule) matches(group string) bool {
	p, err := r.groups()
	return err == nil && stands(p, group)
}

func (r Rule) roles(a asking) ace.Role {
	if a.assisted {
		return r.Devices
	}
	return r.Self
}

// granted is a scope with the time until which its rules hold.
type granted struct {
	scope ace.Scope
	until uint64 // seconds since 1970; 0: no end
}

// use notes that a rule counted.
func (g *granted) use(r Rule) {
	if r.Until != 0 && (g.until == 0 || r.Until < g.until) {
		g.until = r.Until
	}
}

// users returns all roles that the policy allows in a group.
func (p Policy) users(g *granted, a asking, group string, asked ace.Role) (roles ace.Role) {
	for _, r := range p.Rules {
		if more := r.roles(a) & asked; more != 0 && r.applies(a) && r.matches(group) {
			roles |= more
			g.use(r)
		}
	}
	return roles
}

// grant returns the part of a scope that the policy allows. RFC 9200, Section
// 5.8.1; for admin entries GMA, Appendix A.
func (p Policy) grant(a asking, asked ace.Scope) (g granted) {
	for _, e := range asked.Users {
		if roles := p.users(&g, a, e.Group, e.Roles); roles != 0 {
			g.scope.Users = append(g.scope.Users, ace.ScopeEntry{Group: e.Group, Roles: roles})
		}
	}
	if !a.assisted { // devices manage no groups
		g.scope.Admins = p.admins(&g, a, asked.Admins)
	}
	return g
}

// scope returns the default scope: every group that the policy names, with the
// requester's role for the installer where it is allowed, and with all roles
// otherwise; and for the installer what the policy lets it administrate.
func (p Policy) scope(a asking) (g granted) {
	seen := make(map[string]bool)
	for _, r := range p.Rules {
		name, named := r.named()
		if !named || seen[name] || !r.applies(a) {
			continue
		}
		seen[name] = true
		roles := p.users(&g, a, name, ^ace.Role(0))
		if !a.assisted && roles.Has(ace.RoleRequester) {
			roles = ace.RoleRequester
		}
		if roles != 0 {
			g.scope.Users = append(g.scope.Users, ace.ScopeEntry{Group: name, Roles: roles})
		}
	}
	if !a.assisted {
		g.scope.Admins = p.everyAdmin(&g, a)
	}
	return g
}
