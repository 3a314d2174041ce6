package gm

import (
	"net/netip"

	"lamplighter/internal/ace"
)

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
	if g.RekeyOnJoin {
		p.RekeyOnJoin = ace.Is(true)
	}
	if g.Period != 0 {
		p.RekeyPeriod = ace.Is(g.Period)
	}
	if g.Scheme != ace.RekeyingPointToPoint {
		p.RekeyingScheme = ace.Is(g.Scheme)
	}
	if g.Multicast != "" {
		p.Multicast = ace.Is(g.Multicast)
	}
	if g.Lifetime != defaultLifetime {
		p.KeyLifetime = ace.Is(g.Lifetime)
	}
	return p
}

// setPolicies takes over a complete set of policies. Rekeying messages for many go
// where the group's requests go, unless the operator said otherwise and neither the
// scheme nor the address changes.
func (g *groupRecord) setPolicies(p ace.AdminPolicies) {
	p = defaultPolicies(p)
	g.CheckInterval, g.ExpirationDelta = p.CheckInterval.Value, p.ExpirationDelta.Value
	g.RekeyOnJoin, g.Period = p.RekeyOnJoin.Or(false), p.RekeyPeriod.Or(0)
	g.Lifetime = p.KeyLifetime.Or(defaultLifetime)
	scheme, multicast := p.RekeyingScheme.Or(ace.RekeyingPointToPoint), p.Multicast.Or("")
	if scheme == g.Scheme && multicast == g.Multicast {
		return
	}
	g.Scheme, g.Multicast, g.ControlGroupURI = scheme, multicast, ""
	if g.Scheme == ace.RekeyingCompleteSubtree && g.Multicast != "" {
		g.ControlGroupURI = controlGroupURI(g.Multicast, g.Name)
	}
}

// normalPolicies are policies as they are kept and shown: without those of this
// project that have their default.
func normalPolicies(p ace.AdminPolicies) ace.AdminPolicies {
	var g groupRecord
	g.setPolicies(p)
	return g.adminPolicies()
}

func unsupportedPolicies(p ace.AdminPolicies) string {
	scheme := p.RekeyingScheme.Or(ace.RekeyingPointToPoint)
	switch {
	case p.SNSync.Present:
		return "group_policies: no Sequence Number Synchronization Method is supported"
	case scheme != ace.RekeyingPointToPoint && scheme != ace.RekeyingCompleteSubtree:
		return "group_policies: the rekeying scheme is not supported"
	}
	return ""
}

func invalidPolicies(p ace.AdminPolicies) string {
	switch {
	case p.CheckInterval.Or(0) > maxPolicyTime, p.ExpirationDelta.Or(0) > maxPolicyTime,
		p.RekeyPeriod.Or(0) > maxPolicyTime, p.KeyLifetime.Or(1) > maxPolicyTime:
		return "group_policies: too long a time"
	case p.KeyLifetime.Or(minPolicyTime) < minPolicyTime, p.RekeyPeriod.Or(0) != 0 && p.RekeyPeriod.Value < minPolicyTime:
		return "group_policies: keys are to live a minute at least"
	case !validMulticast(p.Multicast.Or("")):
		return "group_policies: the multicast address is none"
	}
	return ""
}

// validMulticast says whether a group's requests can go there.
func validMulticast(address string) bool {
	if address == "" {
		return true
	}
	to, err := netip.ParseAddrPort(address)
	return err == nil && to.Port() != 0 && to.Addr().Zone() == "" && to.Addr().IsMulticast()
}
