package as

import (
	"errors"
	"fmt"
	"strings"

	"lamplighter/internal/ace"
)

// Policy says what an installer may do, as data: it is stored with the
// invitation and then with the installer.
type Policy struct {
	// Site is whose devices the installer registers and acts for. Installers
	// of one site share its devices; empty is a site of the installer's own.
	Site  string `cbor:"1,keyasint,omitempty" json:"site,omitempty"`
	Rules []Rule `cbor:"2,keyasint,omitempty" json:"rules"`
	// Role is the word that the rules were made from; empty: an installer's.
	Role Role `cbor:"8,keyasint,omitempty" json:"role,omitempty"`
}

// Rule allows roles in groups. What several rules allow adds up.
type Rule struct {
	Group    string   `cbor:"1,keyasint" json:"group"`                        // a name, a beginning with "*" behind it, or "*"
	Self     ace.Role `cbor:"2,keyasint,omitempty" json:"self,omitempty"`     // for the installer
	Devices  ace.Role `cbor:"3,keyasint,omitempty" json:"devices,omitempty"`  // for devices of the site, in assisted joins
	Audience string   `cbor:"4,keyasint,omitempty" json:"audience,omitempty"` // at this Group Manager; empty: at each
}

// ErrPolicy is returned for a policy that makes no sense.
var ErrPolicy = errors.New("unusable policy")

const maxRules = 256

// AllGroups is the policy of an installer who may command and equip these groups;
// without any, every group there is or will be.
func AllGroups(names ...string) Policy {
	if len(names) == 0 {
		names = []string{"*"}
	}
	var p Policy
	for _, name := range names {
		p.Rules = append(p.Rules, Rule{
			Group:   name,
			Self:    ace.RoleRequester | ace.RoleMonitor,
			Devices: ace.RoleRequester | ace.RoleResponder | ace.RoleMonitor,
		})
	}
	return p
}

// Check returns an error that wraps [ErrPolicy] when a rule can allow nothing.
func (p Policy) Check() error {
	if len(p.Rules) > maxRules || len(p.Site) > maxName {
		return fmt.Errorf("%w: more than %d rules, or too long a site", ErrPolicy, maxRules)
	}
	for _, r := range p.Rules {
		stem := strings.TrimSuffix(r.Group, "*")
		if stem != "" && !ace.ValidGroupName(stem) || strings.Contains(stem, "*") || r.Group == "" {
			return fmt.Errorf("%w: %q is no group name and no beginning of one", ErrPolicy, r.Group)
		}
		if !(r.Self | r.Devices).Valid() {
			return fmt.Errorf("%w: roles for %q", ErrPolicy, r.Group)
		}
	}
	return nil
}

// pattern reports whether the rule is about more than one name.
func (r Rule) pattern() bool { return strings.HasSuffix(r.Group, "*") }

func (r Rule) matches(audience, group string) bool {
	if r.Audience != "" && r.Audience != audience {
		return false
	}
	if r.pattern() {
		return strings.HasPrefix(group, strings.TrimSuffix(r.Group, "*"))
	}
	return group == r.Group
}

func (r Rule) roles(assisted bool) ace.Role {
	if assisted {
		return r.Devices
	}
	return r.Self
}

// roles returns all that the policy allows in a group.
func (p Policy) roles(audience, group string, assisted bool) (roles ace.Role) {
	for _, r := range p.Rules {
		if r.matches(audience, group) {
			roles |= r.roles(assisted)
		}
	}
	return roles
}

// grant returns the part of a scope that the policy allows. RFC 9200, Section
// 5.8.1.
func (p Policy) grant(audience string, asked []ace.ScopeEntry, assisted bool) (granted []ace.ScopeEntry) {
	for _, e := range asked {
		if roles := e.Roles & p.roles(audience, e.Group, assisted); roles != 0 {
			granted = append(granted, ace.ScopeEntry{Group: e.Group, Roles: roles})
		}
	}
	return granted
}

// scope returns the default scope: every group that the policy names, with the
// requester's role for the installer where it is allowed, and with all roles
// otherwise.
func (p Policy) scope(audience string, assisted bool) (scope []ace.ScopeEntry) {
	seen := make(map[string]bool)
	for _, r := range p.Rules {
		if r.pattern() || seen[r.Group] || !r.matches(audience, r.Group) {
			continue
		}
		seen[r.Group] = true
		roles := p.roles(audience, r.Group, assisted)
		if !assisted && roles.Has(ace.RoleRequester) {
			roles = ace.RoleRequester
		}
		if roles != 0 {
			scope = append(scope, ace.ScopeEntry{Group: r.Group, Roles: roles})
		}
	}
	return scope
}
