package ace

import "fmt"

// What follows is this project's own (docs/servers.md): resources below a group
// configuration that show a group's members, evict them and rekey the group.

// MemberInfo is one member of a group as its administrators see it: GET
// /manage/GROUPNAME/members answers with an array of them.
//
//	{ 1: node: tstr, 2: subject: tstr, ? 3: sender_id: bstr, 4: roles: uint, ? 5: actor: tstr,
//	  6: joined: uint, ? 7: num: uint, 8: barred: bool, ? 9: thumbprint: bstr .size 32 }
type MemberInfo struct {
	Node       string  `cbor:"1,keyasint"`
	Subject    string  `cbor:"2,keyasint"`
	SenderID   []byte  `cbor:"3,keyasint,omitzero"` // absent for a monitor
	Roles      Role    `cbor:"4,keyasint"`
	Actor      string  `cbor:"5,keyasint,omitempty"` // who obtained its latest association; absent: itself
	Joined     uint64  `cbor:"6,keyasint"`           // seconds since 1970
	Num        *uint64 `cbor:"7,keyasint,omitempty"` // the version of the keys that it is known to have
	Barred     bool    `cbor:"8,keyasint"`           // it gets no keys until somebody else renews its association
	Thumbprint []byte  `cbor:"9,keyasint,omitzero"`  // of its credential; absent for a monitor and who has to bring another
}

// MembersResponse is the answer to GET /manage/GROUPNAME/members.
type MembersResponse []MemberInfo

func (r *MembersResponse) check() error {
	for _, m := range *r {
		if m.Node == "" || len(m.Thumbprint) != 0 && len(m.Thumbprint) != 32 {
			return fmt.Errorf("%w: a member without a node name, or a thumbprint of %d bytes", ErrDecode, len(m.Thumbprint))
		}
	}
	return nil
}
