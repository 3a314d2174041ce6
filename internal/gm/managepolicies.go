package gm

import "lamplighter/internal/ace"

// defaultPolicies fills in what policies leave out. KGO, Section 6.3.
func defaultPolicies(p ace.AdminPolicies) ace.AdminPolicies {
	p.CheckInterval = ace.Is(p.CheckInterval.Or(defaultCheckInterval))
	p.ExpirationDelta = ace.Is(p.ExpirationDelta.Or(0))
	return p
}

// adminPolicies are the group's policies as administrators see them. Those of this
// project are there when they differ from their default.
func (g *groupRecord) adminPolicies() ace.AdminPolicies {
	p := ace.AdminPolicies{CheckInterval: ace.Is(g.CheckInterval), ExpirationDelta: ace.Is(g.ExpirationDelta)}
	if g.Multicast != "" {
		p.Multicast = ace.Is(g.Multicast)
	}
	if g.Lifetime != defaultLifetime {
		p.KeyLifetime = ace.Is(g.Lifetime)
	}
	return p
}

// setPolicies takes over a complete set of policies.
func (g *groupRecord) setPolicies(p ace.AdminPolicies) {
	p = defaultPolicies(p)
	g.CheckInterval, g.ExpirationDelta = p.CheckInterval.Value, p.ExpirationDelta.Value
	g.Multicast = p.Multicast.Or("")
	g.Lifetime = p.KeyLifetime.Or(defaultLifetime)
}

// normalPolicies are policies as they are kept and shown: without those of this
// project that have their default.
func normalPolicies(p ace.AdminPolicies) ace.AdminPolicies {
	var g groupRecord
	g.setPolicies(p)
	return g.adminPolicies()
}

func unsupportedPolicies(p ace.AdminPolicies) string {
	switch {
	case p.SNSync.Present:
		return "group_policies: no Sequence Number Synchronization Method is supported"
	case p.RekeyingScheme.Or(ace.RekeyingPointToPoint) != ace.RekeyingPointToPoint:
		return "group_policies: the rekeying scheme is not supported"
	case p.RekeyOnJoin.Or(false), p.RekeyPeriod.Or(0) != 0:
		return "group_policies: rekeying on join and by period are not supported"
	}
	return ""
}

func invalidPolicies(p ace.AdminPolicies) string {
	switch {
	case p.CheckInterval.Or(0) > maxPolicyTime, p.ExpirationDelta.Or(0) > maxPolicyTime,
		p.RekeyPeriod.Or(0) > maxPolicyTime, p.KeyLifetime.Or(1) > maxPolicyTime:
		return "group_policies: too long a time"
	case p.KeyLifetime.Or(1) == 0:
		return "group_policies: keys that do not live"
	case !validMulticast(p.Multicast.Or("")):
		return "group_policies: the multicast address is none"
	}
	return ""
}
