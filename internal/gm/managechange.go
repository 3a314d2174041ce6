package gm

import (
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// read answers GET /manage/GROUP. GMA, Section 6.4; RFC 7252, Section 5.10.6.2.
func (a *administration) read() (*coap.Message, error) {
	resp := groupcomm(coap.Content, a.configuration())
	etag := etagOf(resp.Payload)
	for have := range coap.Each(a.req.Message, coap.OptionETag) {
		if string(have) == string(etag) && !coap.HasOption(a.req.Message, coap.OptionObserve) {
			resp = coap.Respond(coap.Valid, coap.NoFormat, nil)
		}
	}
	coap.AddOption(resp, coap.OptionETag, etag)
	return resp, nil
}

// readSome answers FETCH /manage/GROUP with the parameters that are asked for; those
// that are not there are not in the answer. GMA, Section 6.5.
func (a *administration) readSome() (*coap.Message, error) {
	if refusal := a.checkFormat(); refusal != nil {
		return refusal, nil
	}
	f, err := ace.DecodeConfFilter(a.req.Payload)
	if err != nil {
		return coap.Problem(coap.BadRequest, "conf_filter, and nothing else, is needed."), nil
	}
	return groupcomm(coap.Content, a.configuration().Only(f.Labels)), nil
}

// forbiddenInOverwrite are the parameters that never change, beside those that are
// the Group Manager's to set. GMA, Section 6.6.
var (
	forbiddenInOverwrite = append([]int{ace.AdminGroupMode, ace.AdminPairwiseMode, ace.AdminGroupName, ace.AdminGIDReuse}, forbiddenInCreate...)
	forbiddenInPatch     = slices.DeleteFunc(slices.Clone(forbiddenInOverwrite), func(l int) bool { return l == ace.AdminAppGroupsDiff })
)

// overwrite answers POST /manage/GROUP: what the payload leaves out gets its
// default. The current keys keep their expiration when no other is given: when keys
// expire is the Group Manager's own default. GMA, Section 6.6.
func (a *administration) overwrite() (*coap.Message, error) {
	asked, notRead, refusal := a.decodeBody()
	if refusal != nil {
		return refusal, nil
	}
	old := a.configuration()
	fixed := ace.Configuration{GroupMode: old.GroupMode, PairwiseMode: old.PairwiseMode}
	whole := defaults(asked.With(fixed)).With(*asked).With(fixed)
	if refusal := a.check(*asked, whole, notRead, forbiddenInOverwrite, coap.BadRequest); refusal != nil {
		return refusal, nil
	}
	return a.change(*asked, whole, "overwrote a group's configuration")
}

// patch answers PATCH /manage/GROUP: what the payload leaves out stays. GMA, Section
// 6.7.
func (a *administration) patch() (*coap.Message, error) {
	asked, notRead, refusal := a.decodeBody()
	if refusal != nil {
		return refusal, nil
	}
	return a.update(*asked, notRead)
}

// ipatch answers iPATCH, which is PATCH but for names that would be both deleted and
// added: with them it would not be idempotent. GMA, Section 6.7.
func (a *administration) ipatch() (*coap.Message, error) {
	asked, notRead, refusal := a.decodeBody()
	if refusal != nil {
		return refusal, nil
	}
	diff := asked.AppGroupsDiff.Or(ace.AppGroupsDiff{})
	twice := slices.ContainsFunc(diff.Delete, func(n string) bool { return slices.Contains(diff.Add, n) })
	if twice && a.s.unsupported(*asked, a.configuration().With(*asked)) == "" {
		return coap.Problem(coap.BadRequest, "app_groups_diff: a name is in both lists"), nil
	}
	return a.update(*asked, notRead)
}

func (a *administration) update(asked ace.Configuration, notRead error) (*coap.Message, error) {
	old := a.configuration()
	whole := old.With(asked)
	diff := asked.AppGroupsDiff.Value
	whole.AppGroupsDiff = ace.Param[ace.AppGroupsDiff]{}
	if why := a.s.unsupported(asked, whole); why == "" && notRead == nil {
		switch {
		case asked.IsZero():
			return coap.Problem(coap.BadRequest, "There is nothing to update."), nil
		case asked.AppGroupsDiff.Present && asked.AppGroups.Present:
			return coap.Problem(coap.BadRequest, "app_groups and app_groups_diff exclude each other."), nil
		case asked.AppGroupsDiff.Present && len(diff.Delete)+len(diff.Add) == 0:
			return coap.Problem(coap.BadRequest, "app_groups_diff is empty."), nil
		}
	}
	if asked.AppGroupsDiff.Present {
		whole.AppGroups = ace.Is(apply(diff, old.AppGroups.Value))
		if !validAppGroups(whole.AppGroups.Value) {
			return coap.Problem(coap.BadRequest, "app_groups: too many names"), nil
		}
	}
	if refusal := a.check(asked, whole, notRead, forbiddenInPatch, coap.Conflict); refusal != nil {
		return refusal, nil
	}
	return a.change(asked, whole, "updated a group's configuration")
}

// apply takes names off a list and then adds those that are not on it. GMA, Section
// 6.7.
func apply(diff ace.AppGroupsDiff, names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(diff.Delete, n) })
	for _, n := range diff.Add {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return append([]string{}, names...)
}

// change gives the group a configuration that was checked, with all that follows
// from it, and answers. GMA, Sections 6.6 and 6.7.
func (a *administration) change(asked, whole ace.Configuration, what string) (*coap.Message, error) {
	before := a.configuration()
	if err := a.reconfigure(asked, whole); err != nil {
		return nil, err
	}
	if err := a.saveGroup(); err != nil {
		return nil, err
	}
	if !before.Equal(a.configuration()) {
		a.noteConfiguration(what)
	}
	return groupcomm(coap.Changed, a.outcome(asked)), nil
}

// reconfigure changes the record and the members. Other algorithms go with new
// keys: so no member takes what was made under the old ones for something else, and
// who only asks for the version of the keys notices. KGO, Section 7; GMA, Section
// 6.6.2.
func (a *administration) reconfigure(asked, whole ace.Configuration) error {
	g := a.group
	was := g.Inactive
	g.setStatus(whole)
	g.trimStale()
	algs, curve := algorithms(whole)
	other := algs != g.Algs || curve != g.Curve
	if other {
		if g.SenderIDs >= min(defaultSenderIDs, senderIDs(g.Algs)) {
			g.SenderIDs = defaultSenderIDs
		}
		g.Algs, g.Curve = algs, curve
		g.SenderIDs = min(g.SenderIDs, senderIDs(algs))
		if err := a.refit(); err != nil {
			return err
		}
	}
	if other || asked.EXP.Or(0) > g.Expires {
		why := ReasonLifetime
		if other {
			why = ReasonConfig
		}
		if err := a.s.rekey(a.tx, g, cause{reason: why}); err != nil {
			return err
		}
		if other {
			g.ConfigNum = g.Num
		}
	}
	if asked.EXP.Present {
		g.Expires = asked.EXP.Value
	}
	if g.Inactive != was {
		return a.s.tellActive(a.tx, g)
	}
	return nil
}

// refit evicts the members whose Sender IDs are too long for the group's new
// algorithms, and drops the credentials of those whose key these cannot use: such a
// member joins again or uploads another. GMA, Section 6.6.2.
func (a *administration) refit() error {
	g := a.group
	var all []*memberRecord
	if err := eachMember(a.tx, g.Name, func(m *memberRecord) bool {
		all = append(all, m)
		return true
	}); err != nil {
		return err
	}
	longest := g.Algs.MaxSenderID()
	for _, m := range all {
		if len(m.SenderID) > longest {
			if err := a.s.expel(a.tx, g, m, ReasonConfig); err != nil {
				return err
			}
			continue
		}
		if m.Cred == nil {
			continue
		}
		if _, ok := g.eligible(m.Cred); !ok {
			m.Cred = nil
			if err := save(a.tx, memberKey(g.Name, m.Node), m); err != nil {
				return err
			}
			a.note("dropped a credential that does not fit any more", "node", m.Node)
		}
	}
	return nil
}

// remove answers DELETE /manage/GROUP: the group, its members and their keys are
// gone in one step; that its Gids are not given out again stays known. GMA, Section
// 6.8.
func (a *administration) remove() (*coap.Message, error) {
	if !a.group.Inactive {
		return ace.Problem(coap.BadRequest, ace.ErrorActive, "Set active to false first."), nil
	}
	if err := a.s.tellDeleted(a.tx, a.group); err != nil {
		return nil, err
	}
	keys := []string{groupKey(a.name), gidKey(a.group.GID), jobKey(a.name)}
	for _, prefix := range []string{
		memberKey(a.name, ""), subjectKey(a.name, ""), senderKey(a.name, nil),
		progressKey(a.name, ""), leafKey(a.name, ""), elderKey(a.name, ""), evictionKey(a.name, ""),
	} {
		if err := a.tx.Scan(prefix, func(key string, _ []byte) bool {
			keys = append(keys, key)
			return true
		}); err != nil {
			return nil, err
		}
	}
	for _, key := range keys {
		if err := a.tx.Delete(key); err != nil {
			return nil, err
		}
	}
	a.note("deleted a group", "association", a.assoc.ID)
	return coap.Respond(coap.Deleted, coap.NoFormat, nil), nil
}
