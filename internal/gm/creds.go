package gm

import (
	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// maxFilter bounds the elements of a filter and the Gids of a question.
const maxFilter = 256

// allCreds answers GET creds. RFC 9594, Section 4.4.2.
func (x *exchange) allCreds() (*coap.Message, error) {
	return x.credsOf(func(*memberRecord) bool { return true })
}

// someCreds answers FETCH creds. Sender IDs that no member has are passed over.
// RFC 9594, Section 4.4.1; KGO, Section 9.3.
func (x *exchange) someCreds() (*coap.Message, error) {
	ask, err := ace.Decode[ace.CredsRequest](x.req.Payload)
	if err != nil || ask.GetCreds.IsZero() {
		return coap.Problem(coap.BadRequest, "get_creds is missing or malformed."), nil
	}
	f := ask.GetCreds.Filter
	switch {
	case f == nil:
		return x.allCreds()
	case len(f.Roles) == 0 && len(f.IDs) == 0:
		return coap.Problem(coap.BadRequest, "An empty filter; GET gives all credentials."), nil
	case len(f.Roles) > maxFilter || len(f.IDs) > maxFilter:
		return coap.Problem(coap.BadRequest, "The filter is too long."), nil
	case f.Inclusive && len(f.Roles) == 0:
		return x.credsByID(f.IDs)
	}
	return x.credsOf(func(m *memberRecord) bool { return f.Match(m.SenderID, m.Roles) })
}

// credsByID looks members up by their Sender IDs.
func (x *exchange) credsByID(ids [][]byte) (*coap.Message, error) {
	var found []*memberRecord
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if len(id) > maxSenderIDLen || seen[string(id)] {
			continue
		}
		seen[string(id)] = true
		node, err := x.tx.Get(senderKey(x.group.Name, id))
		if err != nil {
			return nil, err
		}
		if node == nil {
			continue
		}
		m, err := load[memberRecord](x.tx, memberKey(x.group.Name, string(node)))
		if err != nil {
			return nil, err
		}
		if m != nil {
			found = append(found, m)
		}
	}
	return x.credsResponse(found), nil
}

func (x *exchange) credsOf(match func(*memberRecord) bool) (*coap.Message, error) {
	var found []*memberRecord
	err := eachMember(x.tx, x.group.Name, func(m *memberRecord) bool {
		if m.Cred != nil && match(m) {
			found = append(found, m)
		}
		return true
	})
	return x.credsResponse(found), err
}

func (x *exchange) credsResponse(found []*memberRecord) *coap.Message {
	if len(found) == 0 {
		return nothing()
	}
	r := ace.CredsResponse{Num: x.group.Num}
	r.Creds, r.PeerRoles, r.PeerIDs = arrays(found)
	return groupcomm(coap.Content, r)
}

// peersFor is what a joining node asked for with get_creds; with null those that
// matter to its roles. It is not among them itself. KGO, Section 6.3.
func (x *exchange) peersFor(joiner *memberRecord, ask ace.GetCreds) (creds [][]byte, roles []ace.Role, ids [][]byte, err error) {
	match := func(m *memberRecord) bool { return relevant(joiner.Roles, m.Roles) }
	if ask.Filter != nil {
		match = func(m *memberRecord) bool { return ask.Filter.Match(m.SenderID, m.Roles) }
	}
	var found []*memberRecord
	err = eachMember(x.tx, x.group.Name, func(m *memberRecord) bool {
		if m.Cred != nil && m.Node != joiner.Node && match(m) {
			found = append(found, m)
		}
		return true
	})
	creds, roles, ids = arrays(found)
	return creds, roles, ids, err
}

// relevant reports whether a node with the roles mine talks with one that has
// theirs: a requester with responders, a responder or monitor with requesters.
func relevant(mine, theirs ace.Role) bool {
	return mine.Has(ace.RoleRequester) && theirs.Has(ace.RoleResponder) ||
		mine&(ace.RoleResponder|ace.RoleMonitor) != 0 && theirs.Has(ace.RoleRequester)
}

// arrays lays members out as the three parallel arrays, never nil.
func arrays(members []*memberRecord) (creds [][]byte, roles []ace.Role, ids [][]byte) {
	creds, roles, ids = [][]byte{}, []ace.Role{}, [][]byte{}
	for _, m := range members {
		creds, roles, ids = append(creds, m.Cred), append(roles, m.Roles), append(ids, m.SenderID)
	}
	return creds, roles, ids
}
