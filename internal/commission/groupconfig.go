package commission

import (
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
)

// Modes of a group in the schema.
const (
	modeBoth     = "both"
	modeGroup    = "group"
	modePairwise = "pairwise"
)

// Problems of group configurations.
var (
	errBadConfig = problem("bad-config", "The group cannot be set up like that.", "Check the values: times in seconds, one of the modes and signatures that are offered, an address with a port.")
	errGroupName = problem("bad-group-name", "This cannot be a group's name.", "Take 1 to 64 letters, digits, hyphens and dots.")
)

// configView is a configuration as it is drawn.
func configView(name string, c *ace.Configuration, etag string) GroupConfig {
	p := c.Policies.Or(ace.AdminPolicies{})
	v := GroupConfig{
		Name: name, Description: c.GroupDescription.Or(""), Active: c.Active.Or(false), Mode: modeOf(c),
		CheckInterval: int(p.CheckInterval.Or(defaultCheckInterval)), KeysUntil: int64(c.EXP.Or(0)) * 1000,
		StaleSets: int(c.MaxStaleSets.Or(0)), RekeyOnJoin: p.RekeyOnJoin.Or(false), RekeyPeriod: int(p.RekeyPeriod.Or(0)),
		OneToMany: p.RekeyingScheme.Or(ace.RekeyingPointToPoint) != ace.RekeyingPointToPoint, Multicast: p.Multicast.Or(""),
		AppGroups: append([]string{}, c.AppGroups.Or(nil)...), ETag: etag,
	}
	if v.Mode != modePairwise {
		v.Signature = signatureName(c.SignAlg)
	}
	return v
}

// defaultCheckInterval is KGO's, in seconds.
const defaultCheckInterval = 3600

func modeOf(c *ace.Configuration) string {
	switch {
	case !c.PairwiseMode.Or(true):
		return modeGroup
	case !c.GroupMode.Or(true):
		return modePairwise
	}
	return modeBoth
}

func signatureName(alg ace.Param[ace.AlgorithmID]) string {
	switch alg {
	case ace.Alg(cose.EdDSA):
		return "EdDSA"
	case ace.Alg(cose.ES256):
		return "ES256"
	}
	return "other"
}

// configuration is what a change asks of the Group Manager. A group that is made
// also says its mode and its algorithms.
func (c GroupChange) configuration(was ace.AdminPolicies, creating bool) (ace.Configuration, error) {
	var out ace.Configuration
	if c.Description != nil {
		out.GroupDescription = ace.Is(*c.Description)
	}
	if c.Active != nil {
		out.Active = ace.Is(*c.Active)
	}
	if creating {
		if err := c.algorithms(&out); err != nil {
			return out, err
		}
	} else if c.Mode != nil || c.Signature != nil {
		return out, errBadConfig
	}
	policies, err := c.policies(was)
	if err != nil {
		return out, err
	}
	if policies != was {
		out.Policies = ace.Is(policies)
	}
	return out, nil
}

// maxSeconds is ten years.
const maxSeconds = 10 * 365 * 24 * 3600

// policies are those of before with what the change names: they are set as a whole.
func (c GroupChange) policies(p ace.AdminPolicies) (ace.AdminPolicies, error) {
	for _, n := range []*int{c.CheckInterval, c.RekeyPeriod} {
		if n != nil && (*n < 0 || *n > maxSeconds) {
			return p, errBadConfig
		}
	}
	if c.CheckInterval != nil {
		p.CheckInterval = ace.Is(uint64(*c.CheckInterval))
	}
	if c.RekeyPeriod != nil {
		p.RekeyPeriod = ace.Is(uint64(*c.RekeyPeriod))
	}
	if c.RekeyOnJoin != nil {
		p.RekeyOnJoin = ace.Is(*c.RekeyOnJoin)
	}
	if c.OneToMany != nil {
		scheme := ace.RekeyingPointToPoint
		if *c.OneToMany {
			scheme = ace.RekeyingCompleteSubtree
		}
		p.RekeyingScheme = ace.Is(scheme)
	}
	if c.Multicast != nil {
		p.Multicast = ace.Is(*c.Multicast)
	}
	return p, nil
}

// algorithms sets the mode and what goes with the members' keys; everything else
// is the Group Manager's default.
func (c GroupChange) algorithms(out *ace.Configuration) error {
	mode, signature := modeBoth, "EdDSA"
	if c.Mode != nil {
		mode = *c.Mode
	}
	if c.Signature != nil && *c.Signature != "" {
		signature = *c.Signature
	}
	if !slices.Contains([]string{modeBoth, modeGroup, modePairwise}, mode) || !slices.Contains([]string{"EdDSA", "ES256"}, signature) {
		return errBadConfig
	}
	out.GroupMode, out.PairwiseMode = ace.Is(mode != modePairwise), ace.Is(mode != modeGroup)
	switch p256 := signature == "ES256"; {
	case mode == modePairwise && p256: // nobody signs: the curve says whose keys they are
		out.ECDHParams = ace.Is(ace.Capabilities{{2}, {2, 1}})
	case p256:
		out.SignAlg = ace.Alg(cose.ES256)
	case mode != modePairwise:
		out.SignAlg = ace.Alg(cose.EdDSA)
	}
	return nil
}
