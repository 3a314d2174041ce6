package gm

import (
	"errors"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// What follows is this project's own (docs/servers.md).

// members answers GET /manage/GROUP/members: a page of the members in the order of
// their NODENAMEs' bytes, from the start or behind the one that the query names.
func (a *administration) members() (*coap.Message, error) {
	after := ""
	for q := range coap.Each(a.req.Message, coap.OptionURIQuery) {
		node, ok := strings.CutPrefix(string(q), "after=")
		if !ok {
			return coap.Problem(coap.BadRequest, "The query has another parameter than after."), nil
		}
		after = node
	}
	var page []*memberRecord
	err := eachMember(a.tx, a.name, func(m *memberRecord) bool {
		if m.Node > after {
			page = append(page, m)
		}
		return len(page) < ace.MembersPage
	})
	if err != nil {
		return nil, err
	}
	all := ace.MembersResponse{}
	for _, m := range page {
		info, err := a.info(m)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return bare(all), nil
}

// info is a member as administrators see it.
func (a *administration) info(m *memberRecord) (ace.MemberInfo, error) {
	info := ace.MemberInfo{
		Node: m.Node, Subject: m.Subject, SenderID: m.SenderID, Roles: m.Roles, Actor: m.Actor, Joined: uint64(m.Joined),
	}
	if m.Cred != nil {
		sum := cose.Thumbprint(m.Cred)
		info.Thumbprint = sum[:]
	}
	p, err := loadProgress(a.tx, a.name, m.Node)
	if err != nil {
		return info, err
	}
	if p.Has > 0 {
		num := p.Has - 1
		info.Num = &num
	}
	info.Barred, err = a.barred(m)
	return info, err
}

// barred reports whether a member is to be renewed by somebody: the association that
// it joined with last is barred, which it most likely has, or there is no other.
func (a *administration) barred(m *memberRecord) (bool, error) {
	live, barred, err := a.s.links(a.tx, a.name, m, nil)
	if err != nil || !barred || len(live) == 0 {
		return barred, err
	}
	latest, err := load[associationRecord](a.tx, associationKey(m.Assoc))
	if err != nil || latest == nil {
		return false, err
	}
	return isBarred(a.tx, latest)
}

// decodeCBOR reads a payload in application/cbor.
func decodeCBOR[T any](a *administration) (*T, *coap.Message) {
	if format, ok := coap.ContentFormat(a.req.Message); !ok || format != ace.FormatCBOR {
		return nil, coap.Problem(coap.UnsupportedFormat, "The Content-Format is to be 60.")
	}
	v, err := ace.Decode[T](a.req.Payload)
	if err != nil {
		return nil, coap.Problem(coap.BadRequest, "The payload is malformed.")
	}
	return v, nil
}

// evict answers POST /manage/GROUP/evict: memberships end, the others get new keys,
// and all are told. KGO, Section 10.
func (a *administration) evict() (*coap.Message, error) {
	ask, refusal := decodeCBOR[ace.EvictRequest](a)
	if refusal != nil {
		return refusal, nil
	}
	if len(ask.Nodes) > maxFilter {
		return coap.Problem(coap.BadRequest, "Too many members at a time."), nil
	}
	if ask.Preview {
		return a.preview(ask.Nodes)
	}
	gone, err := membersOf(a.tx, a.name, ask.Nodes)
	if errors.Is(err, ErrNoMember) {
		return coap.Problem(coap.NotFound, "There is no such member."), nil
	}
	if err != nil {
		return nil, err
	}
	if err := a.s.removeAll(a.tx, a.name, gone, ReasonEvicted); err != nil {
		return nil, err
	}
	a.note("an administrator evicted members", "nodes", ask.Nodes, "association", a.assoc.ID)
	return coap.Respond(coap.Changed, coap.NoFormat, nil), nil
}

// rekey answers POST /manage/GROUP/rekey: the group gets new keys. KGO, Section 11.
func (a *administration) rekey() (*coap.Message, error) {
	ask, refusal := decodeCBOR[ace.RekeyRequest](a)
	if refusal != nil {
		return refusal, nil
	}
	if ask.Preview {
		return a.preview(nil)
	}
	if err := a.s.rekey(a.tx, a.group, cause{reason: ReasonAsked}); err != nil {
		return nil, err
	}
	if err := a.saveGroup(); err != nil {
		return nil, err
	}
	a.note("an administrator rekeyed a group", "association", a.assoc.ID)
	return coap.Respond(coap.Changed, coap.NoFormat, nil), nil
}

// preview says what an eviction or, of nobody, a rekeying would do.
func (a *administration) preview(nodes []string) (*coap.Message, error) {
	p, err := a.s.previewIn(a.tx, a.name, nodes)
	if errors.Is(err, ErrNoMember) {
		return coap.Problem(coap.NotFound, "There is no such member."), nil
	}
	resp := bare(ace.RekeyPreview{
		Evicted: listOf(p.Evicted), Stale: listOf(p.Stale), Keys: listOf(p.Keys), Barred: listOf(p.Barred), Asking: listOf(p.Asking),
		ToMany: p.ToMany, Posts: uint(p.Posts), Notices: uint(p.Notices), Multicasts: uint(p.Multicasts),
	})
	if a.req.Code == coap.POST {
		resp.Code = coap.Changed
	}
	return resp, err
}

// progress answers GET /manage/GROUP/rekey.
func (a *administration) progress() (*coap.Message, error) {
	p, err := a.s.progressIn(a.tx, a.name)
	if err != nil {
		return nil, err
	}
	told := ace.RekeyProgress{
		Reason: string(p.Reason), Num: p.Num, Total: uint(p.Total), Told: uint(p.Told), Confirmed: uint(p.Confirmed),
		Failed: listOf(p.Failed), Barred: uint(p.Barred), Asking: uint(p.Asking),
	}
	if !p.Started.IsZero() {
		told.Started = uint64(p.Started.UnixMilli())
	}
	if !p.Ended.IsZero() {
		told.Ended = uint64(p.Ended.UnixMilli())
	}
	return bare(told), nil
}

// listOf is never nil: it stands as an array.
func listOf[T any](l []T) []T { return append([]T{}, l...) }
