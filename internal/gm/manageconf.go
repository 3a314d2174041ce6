package gm

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// Bounds on what administrators set.
const (
	mostStaleSets  = 255
	maxDescription = 1024 // bytes
	maxAppGroups   = 256
	maxAppGroup    = 255       // bytes of a name
	minPolicyTime  = 60        // seconds
	maxPolicyTime  = 1<<32 - 1 // seconds
)

// configuration is the complete representation of the group's configuration. GMA,
// Section 5.1.
func (a *administration) configuration() ace.Configuration { return a.s.configuration(a.group) }

func (s *Server) configuration(g *groupRecord) ace.Configuration {
	c := ace.Configuration{
		HKDF: ace.Alg(g.Algs.HKDF), CredFmt: ace.Is(ace.CredFormatCCS),
		GroupMode: ace.Is(g.Algs.HasGroupMode()), PairwiseMode: ace.Is(g.Algs.HasPairwiseMode()),
		GpEncAlg: ace.Alg(cose.Null), SignAlg: ace.Alg(cose.Null), SignParams: ace.IsNull[ace.Capabilities](),
		Alg: ace.Alg(cose.Null), ECDHAlg: ace.Alg(cose.Null), ECDHParams: ace.IsNull[ace.Capabilities](),
		RT: ace.Is(ace.ResourceTypeGroupConf), Active: ace.Is(!g.Inactive),
		GroupName: ace.Is(ace.NamedGroup(g.Name)), GroupDescription: description(g.Description),
		Profile: ace.Is(ace.ProfileCoAPGroupOSCOREApp), MaxStaleSets: ace.Is(uint64(g.MaxStaleSets)),
		EXP: ace.Is(g.Expires), GIDReuse: ace.Is(false), AppGroups: ace.Is(append([]string{}, g.AppGroups...)),
		JoiningURI: ace.Is(s.cfg.URI + groupPath("ace-group", g.Name)), ASURI: ace.Is(s.cfg.AS),
		Policies: ace.Is(g.adminPolicies()),
	}
	if g.Algs.HasGroupMode() {
		c.GpEncAlg, c.SignAlg = ace.Alg(g.Algs.GroupEnc), ace.Alg(g.Algs.Sign)
		c.SignParams = ace.Is(ace.Capabilities(ace.SignParams(g.Algs.Sign)))
	}
	if g.Algs.HasPairwiseMode() {
		c.Alg, c.ECDHAlg = ace.Alg(g.Algs.AEAD), ace.Alg(g.Algs.Pairwise)
		c.ECDHParams = ace.Is(ace.Capabilities(ace.ECDHParams(g.Curve)))
	}
	if g.Algs.HasGroupMode() && g.Algs.HasPairwiseMode() {
		c.DetReq = ace.Is(false)
	}
	return c
}

func description(text *string) ace.Param[string] {
	if text == nil {
		return ace.IsNull[string]()
	}
	return ace.Is(*text)
}

// defaults are the values of the parameters that the request leaves out. Those of
// algorithms go with what it asks for. GMA, Section 5.2; KGO, Section 14.
func defaults(asked ace.Configuration) ace.Configuration {
	c := ace.Configuration{
		HKDF: ace.Alg(cose.HMAC256), CredFmt: ace.Is(ace.CredFormatCCS), GroupMode: ace.Is(true), PairwiseMode: ace.Is(true),
		GpEncAlg: ace.Alg(cose.Null), SignAlg: ace.Alg(cose.Null), SignParams: ace.IsNull[ace.Capabilities](),
		Alg: ace.Alg(cose.Null), ECDHAlg: ace.Alg(cose.Null), ECDHParams: ace.IsNull[ace.Capabilities](),
		Active: ace.Is(false), GroupDescription: ace.IsNull[string](), MaxStaleSets: ace.Is[uint64](defaultMaxStaleSets),
		GIDReuse: ace.Is(false), AppGroups: ace.Is([]string{}), Policies: ace.Is(defaultPolicies(ace.AdminPolicies{})),
	}
	curve := cose.X25519
	groupMode, pairwise := asked.GroupMode.Or(true), asked.PairwiseMode.Or(true)
	if groupMode {
		sign := asked.SignAlg.Or(ace.AlgorithmID{Alg: cose.EdDSA}).Alg
		c.GpEncAlg, c.SignAlg = ace.Alg(cose.AESCCM16_64_128), ace.Alg(cose.EdDSA)
		if params := ace.SignParams(sign); params != nil {
			c.SignParams = ace.Is(ace.Capabilities(params))
		}
		if own := ace.ECDHCurve(sign); own != 0 {
			curve = own
		}
	}
	if pairwise {
		c.Alg, c.ECDHAlg = ace.Alg(cose.AESCCM16_64_128), ace.Alg(cose.ECDHSSHKDF256)
		if asked.HKDF.Or(ace.AlgorithmID{}).Alg == cose.HMAC512 {
			c.ECDHAlg = ace.Alg(cose.ECDHSSHKDF512)
		}
		c.ECDHParams = ace.Is(ace.Capabilities(ace.ECDHParams(curve)))
	}
	if groupMode && pairwise {
		c.DetReq = ace.Is(false)
	}
	return c
}

// unsupported names the first value that would keep the Group Manager from its
// work, "" when there is none. What is there already, as the operator may have made
// it, does not. GMA, Section 6.3.
func (s *Server) unsupported(asked, whole ace.Configuration) string {
	if asked.MaxStaleSets.Or(0) > mostStaleSets {
		return fmt.Sprintf("max_stale_sets: at most %d are kept", mostStaleSets)
	}
	return s.unsupportedWhole(whole)
}

func (s *Server) unsupportedWhole(c ace.Configuration) string {
	is := func(p ace.Param[ace.AlgorithmID], built func(cose.Algorithm) bool) bool {
		return !p.Present || p.Null || p.Value.Text == "" && built(p.Value.Alg)
	}
	oneOf := func(algs ...cose.Algorithm) func(cose.Algorithm) bool {
		return func(a cose.Algorithm) bool { return slices.Contains(algs, a) }
	}
	switch {
	case c.CredFmt.Or(ace.CredFormatCCS) != ace.CredFormatCCS:
		return "cred_fmt: only 14 (kccs) is supported"
	case !is(c.HKDF, oneOf(cose.HMAC256, cose.HMAC512)):
		return "hkdf: only 5 and 7 are supported"
	case !is(c.GpEncAlg, func(a cose.Algorithm) bool { return cose.KeySize(a) > 0 }):
		return "gp_enc_alg: not supported"
	case !is(c.SignAlg, func(a cose.Algorithm) bool { return cose.SignatureSize(a) > 0 }):
		return "sign_alg: only -8 (EdDSA) and -7 (ES256) are supported"
	case !is(c.SignAlg, func(a cose.Algorithm) bool {
		return s.identity(group.Algorithms{Sign: a, GroupEnc: cose.A128GCM}, 0) != nil
	}):
		return "sign_alg: the Group Manager has no key for it"
	case !is(c.Alg, cose.Authenticated):
		return "alg: not supported"
	case !is(c.ECDHAlg, oneOf(cose.ECDHSSHKDF256, cose.ECDHSSHKDF512)):
		return "ecdh_alg: only -27 and -28 are supported"
	case !knownParams(c.SignParams, ace.SignParams(cose.EdDSA), ace.SignParams(cose.ES256)):
		return "sign_params: only Ed25519 and P-256 are supported"
	case !knownParams(c.ECDHParams, ace.ECDHParams(cose.X25519), ace.ECDHParams(cose.P256)):
		return "ecdh_params: only X25519 and P-256 are supported"
	case !c.GroupMode.Or(true) && s.identity(group.Algorithms{}, curveOf(c.ECDHParams)) == nil:
		return "ecdh_params: the Group Manager has no key for it"
	case c.DetReq.Or(false):
		return "det_req: deterministic requests are not supported"
	}
	return unsupportedPolicies(c.Policies.Or(ace.AdminPolicies{}))
}

func knownParams(p ace.Param[ace.Capabilities], known ...[][]int) bool {
	return !p.Present || p.Null || slices.ContainsFunc(known, func(k [][]int) bool { return p.Value.Equal(k) })
}

// curveOf is the curve that ecdh_params names.
func curveOf(p ace.Param[ace.Capabilities]) cose.Curve {
	if p.Or(nil).Equal(ace.ECDHParams(cose.P256)) {
		return cose.P256
	}
	return cose.X25519
}

// invalid names the first value that is none for its parameter, whatever the
// others are.
func invalid(c ace.Configuration, now time.Time) string {
	apps := c.AppGroups.Or(nil)
	diff := c.AppGroupsDiff.Or(ace.AppGroupsDiff{})
	text := c.GroupDescription.Or("")
	switch {
	case c.EXP.Present && c.EXP.Value <= uint64(now.Unix()):
		return "exp: not in the future"
	case c.EXP.Or(0) > 1<<40:
		return "exp: too far"
	case c.MaxStaleSets.Present && c.MaxStaleSets.Value < 2:
		return "max_stale_sets: at least 2"
	case len(text) > maxDescription || !utf8.ValidString(text):
		return "group_description: too long"
	case !validAppGroups(apps), !validAppGroups(diff.Add), !validAppGroups(diff.Delete):
		return "app_groups: too many names, or one that is empty or too long"
	}
	return invalidPolicies(c.Policies.Or(ace.AdminPolicies{}))
}

func validAppGroups(names []string) bool {
	return len(names) <= maxAppGroups && !slices.ContainsFunc(names, func(n string) bool {
		return n == "" || len(n) > maxAppGroup
	})
}

// inconsistent names the first parameter of a complete configuration that does not
// go with the others. GMA, Section 5.1.1.
func inconsistent(c ace.Configuration) string {
	groupMode, pairwise := c.GroupMode.Value, c.PairwiseMode.Value
	sign, hkdf := c.SignAlg.Value.Alg, c.HKDF.Value.Alg
	agreement := cose.ECDHSSHKDF256
	if hkdf == cose.HMAC512 {
		agreement = cose.ECDHSSHKDF512
	}
	switch {
	case !groupMode && !pairwise:
		return "group_mode, pairwise_mode: one is needed"
	case c.GpEncAlg.Null == groupMode, c.SignAlg.Null == groupMode, c.SignParams.Null == groupMode:
		return "gp_enc_alg, sign_alg, sign_params: null if and only if group_mode is false"
	case c.Alg.Null == pairwise, c.ECDHAlg.Null == pairwise, c.ECDHParams.Null == pairwise:
		return "alg, ecdh_alg, ecdh_params: null if and only if pairwise_mode is false"
	case groupMode && !c.SignParams.Value.Equal(ace.SignParams(sign)):
		return "sign_params: not of sign_alg"
	case pairwise && c.ECDHAlg.Value.Alg != agreement:
		return "ecdh_alg: not of hkdf"
	case groupMode && pairwise && curveOf(c.ECDHParams) != ace.ECDHCurve(sign):
		return "ecdh_params: not of sign_alg"
	case c.DetReq.Present && !(groupMode && pairwise):
		return "det_req: only with both modes"
	case c.DetHashAlg.Present:
		return "det_hash_alg: only with det_req"
	}
	return ""
}

// algorithms are those of a configuration that is supported and consistent.
func algorithms(c ace.Configuration) (group.Algorithms, cose.Curve) {
	algs := group.Algorithms{
		HKDF: c.HKDF.Value.Alg, GroupEnc: c.GpEncAlg.Value.Alg, Sign: c.SignAlg.Value.Alg,
		AEAD: c.Alg.Value.Alg, Pairwise: c.ECDHAlg.Value.Alg,
	}
	if !c.PairwiseMode.Value {
		return algs, 0
	}
	return algs, curveOf(c.ECDHParams)
}
