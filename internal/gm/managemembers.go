package gm

import (
	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// members answers GET /manage/GROUP/members, in the order of the store
// (docs/servers.md).
func (a *administration) members() (*coap.Message, error) {
	all := ace.MembersResponse{}
	err := eachMember(a.tx, a.name, func(m *memberRecord) bool {
		all = append(all, m.info())
		return true
	})
	return bare(all), err
}

// info is a member as administrators see it.
func (m *memberRecord) info() ace.MemberInfo {
	info := ace.MemberInfo{
		Node: m.Node, Subject: m.Subject, SenderID: m.SenderID, Roles: m.Roles, Actor: m.Actor, Joined: uint64(m.Joined),
	}
	if m.Cred != nil {
		sum := cose.Thumbprint(m.Cred)
		info.Thumbprint = sum[:]
	}
	return info
}
