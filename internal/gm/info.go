package gm

import (
	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// info is what the Group Manager says about the kinds of groups before a join.
// KGO, Sections 5.3 and 6.2.
type info struct {
	sign    []ace.SignInfo
	ecdh    []ace.ECDHInfo
	dhCreds []ace.KDCDHCred
}

// add describes groups of one kind: sign_info with the group mode, ecdh_info with
// the pairwise mode, kdc_dh_creds without the group mode.
func (i *info) add(s *Server, k kind, names ace.GroupNames) {
	const format = ace.CredFormatCCS
	if k.algs.HasGroupMode() {
		p := ace.SignParams(k.algs.Sign)
		i.sign = append(i.sign, ace.SignInfo{Groups: names, Alg: int(k.algs.Sign), Params: p[0], KeyParams: p[1], CredFmt: format})
	}
	if k.algs.HasPairwiseMode() {
		p := ace.ECDHParams(k.curve)
		i.ecdh = append(i.ecdh, ace.ECDHInfo{Groups: names, Alg: int(k.algs.Pairwise), Params: p[0], KeyParams: p[1], CredFmt: format})
	}
	if id := s.identity(k.algs, k.curve); id != nil && !k.algs.HasGroupMode() {
		i.dhCreds = append(i.dhCreds, ace.KDCDHCred{Groups: names, CredFmt: format, Cred: id.Cred})
	}
}

// kind is what decides how groups are described.
type kind struct {
	algs  group.Algorithms
	curve cose.Curve
}

func (g *groupRecord) kind() kind { return kind{g.Algs, g.Curve} }

// groupInfo describes the groups of a token: one entry a kind. KGO, Section 5.3.
func (s *Server) groupInfo(tx store.Tx, names []string) (i info, err error) {
	groups := make(map[kind]ace.GroupNames)
	var order []kind
	for _, name := range names {
		g, err := load[groupRecord](tx, groupKey(name))
		if err != nil {
			return i, err
		}
		if g == nil {
			continue
		}
		k := g.kind()
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], name)
	}
	for _, k := range order {
		i.add(s, k, groups[k])
	}
	return i, nil
}

// tell puts into a Token Transfer Response what the client asked for.
func (i info) tell(resp *ace.AuthzInfoResponse, ask *ace.AuthzInfoRequest) {
	if ask.SignInfo {
		resp.SignInfo = i.sign
	}
	if ask.ECDHInfo {
		resp.ECDHInfo = i.ecdh
	}
	if ask.KDCDHCreds {
		resp.KDCDHCreds = i.dhCreds
	}
}

// joinHints is the 4.00 that tells a joining node what to send. fresh, when not
// nil, is the new N_S. KGO, Section 6.2.
func (x *exchange) joinHints(fresh []byte) *coap.Message {
	var i info
	i.add(x.s, x.group.kind(), ace.GroupNames{x.group.Name})
	return groupcomm(coap.BadRequest, ace.JoinHints{
		SignInfo: i.sign, ECDHInfo: i.ecdh, KDCDHCreds: i.dhCreds, KDCChallenge: fresh,
	})
}
