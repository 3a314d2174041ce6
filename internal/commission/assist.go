package commission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// The payloads of an assisted join, docs/device.md.
type (
	popAsk struct {
		Group string   `cbor:"1,keyasint"`
		Roles ace.Role `cbor:"2,keyasint"`
	}
	popOffer struct {
		ID1  []byte `cbor:"1,keyasint"` // the device's Recipient ID
		NC   []byte `cbor:"2,keyasint"`
		Cred []byte `cbor:"3,keyasint"`
	}
	popNonce struct {
		Group string `cbor:"1,keyasint"`
		NS    []byte `cbor:"3,keyasint"`
		GMDH  []byte `cbor:"5,keyasint,omitempty"` // the Group Manager's credential for the proof in a pairwise-only group
	}
	popProof struct {
		Verify []byte `cbor:"4,keyasint"`
	}
	membershipPut struct {
		Answer      []byte            `cbor:"1,keyasint"` // the Join Response as the Group Manager sent it
		Association *join.Association `cbor:"2,keyasint"`
		NodePath    string            `cbor:"3,keyasint"`
		Multicast   string            `cbor:"4,keyasint"`
	}
)

// join makes the device a member of the job's group: claimed if it is not, then
// assisted. A Join Response that was on its way to the device comes first.
func (t *task) join(ctx context.Context) error {
	if err := t.claim(ctx); err != nil {
		return err
	}
	if err := t.bringList(ctx); err != nil {
		return err
	}
	if h := t.rec().Handover; h != nil {
		done, err := t.resumeHandover(ctx, h)
		if done || err != nil {
			return err
		}
	}
	if p := t.rec().in(t.j.rec.Group); p != nil {
		return t.finish(ctx, joinedAs(p.SenderID, p.Mute), func(*deviceRecord) {})
	}
	return t.assist(ctx)
}

func joinedAs(kid []byte, mute bool) string {
	if mute {
		return "joined, id " + shortID(kid) + ", but it may not send"
	}
	return "joined, id " + shortID(kid)
}

// resumeHandover repeats the PUT of an earlier run. done is false when it leads
// nowhere any more and the device has to be joined anew.
func (t *task) resumeHandover(ctx context.Context, h *handover) (done bool, err error) {
	if h.Expires > uint64(t.s.e.cfg.Now().Unix()) {
		err = t.handOver(ctx, h)
		if !errors.Is(err, errRejoin) {
			return h.Group == t.j.rec.Group, err
		}
	}
	return false, t.save(ctx, func(r *deviceRecord) { r.Handover = nil })
}

// assist carries the messages of an assisted join between the device, the
// Authorization Server and the Group Manager. DESIGN: the three ways to join.
func (t *task) assist(ctx context.Context) error {
	device, err := t.s.managerSession(ctx, t.d)
	if err != nil {
		return err
	}
	group := t.j.rec.Group
	entry, offer, assoc, err := t.admitted(ctx, device, group)
	if err != nil {
		return err
	}
	if err := fits(t.rec().Cred, assoc.Info(), group); err != nil {
		return err
	}
	t.step("proving its key")
	var proof popProof
	if err := call(ctx, device, coap.POST, "/ll/pop", popNonce{group, assoc.NS, assoc.Info().DHCred(group)}, &proof); err != nil {
		return t.deviceSaid("proving its key", err)
	}
	t.step("joining " + group)
	req := join.Offer{Scope: ace.EncodeJoinScope(entry), NC: offer.NC, Cred: offer.Cred}.Request(proof.Verify, true)
	req.ControlURI = fmt.Sprintf("coap://%s/ace-group/%s/node", t.rec().address(), group)
	h, err := t.request(ctx, assoc, req, entry.Roles != rolesOf(t.rec().Model))
	if err != nil {
		return err
	}
	return t.handOver(ctx, h)
}

// admitted gets what the device offers and a token for its roles. One that would send,
// but whose rights let it answer only, offers that.
func (t *task) admitted(ctx context.Context, device coap.Caller, group string) (entry ace.ScopeEntry, offer popOffer, assoc *join.Association, err error) {
	entry = ace.ScopeEntry{Group: group, Roles: rolesOf(t.rec().Model)}
	for {
		t.step("asking for its proof of possession")
		if offer, err = t.offer(ctx, device, entry); err != nil {
			return entry, offer, nil, err
		}
		t.step("getting a token")
		assoc, _, err = t.s.transfer(ctx, ace.TokenRequest{
			ClientID: t.d.id, Scope: ace.EncodeScope([]ace.ScopeEntry{entry}),
		}, offer.ID1)
		if err != nil || !listensOnly(assoc.Scope, entry) {
			return entry, offer, assoc, err
		}
		entry.Roles = ace.RoleResponder
	}
}

// listensOnly reports whether a device that wants to send, too, is granted no more
// than to answer.
func listensOnly(granted ace.Scope, wanted ace.ScopeEntry) bool {
	return wanted.Roles.Has(ace.RoleRequester) && slices.ContainsFunc(granted.Users, func(e ace.ScopeEntry) bool {
		return e.Group == wanted.Group && e.Roles.Has(ace.RoleResponder) && !e.Roles.Has(ace.RoleRequester)
	})
}

// rolesOf is what a device of a model is in a group: it answers, and a switch or sensor
// commands as well. docs/device.md has the names by which these are known.
func rolesOf(model string) ace.Role {
	if strings.HasPrefix(model, "switch-") || strings.HasPrefix(model, "sensor-") {
		return ace.RoleRequester | ace.RoleResponder
	}
	return ace.RoleResponder
}

// fits refuses a group that the key of a device's credential is of no use in.
func fits(cred []byte, info join.Info, group string) error {
	device, err := cose.ParseCCS(cred)
	if err != nil {
		return errMismatch.because(err)
	}
	if err := info.Check(group, device.Public); err != nil {
		return errDeviceKey.because(err)
	}
	return nil
}

// offer asks the device what it will sign.
func (t *task) offer(ctx context.Context, device coap.Caller, entry ace.ScopeEntry) (popOffer, error) {
	var offer popOffer
	err := call(ctx, device, coap.POST, "/ll/pop", popAsk{entry.Group, entry.Roles}, &offer)
	if err != nil {
		return offer, t.deviceSaid("asking for its proof", err)
	}
	if string(offer.Cred) != string(t.rec().Cred) {
		return offer, errMismatch
	}
	return offer, nil
}

// request joins in the device's name. The association is used here and never
// again: what comes back is spent, durably, before the device gets it.
func (t *task) request(ctx context.Context, assoc *join.Association, req ace.JoinRequest, mute bool) (*handover, error) {
	addr, err := t.s.gmAddress()
	if err != nil {
		return nil, err
	}
	seq := oscore.NewSequence(assoc.NextSSN, nil)
	octx, err := assoc.Context(seq)
	if err != nil {
		return nil, with(atGM, "using the token", err)
	}
	answer, err := join.Join(ctx, oscore.NewClient(octx, t.s.e.wire, addr), t.j.rec.Group, req)
	assoc.NextSSN = seq.Stop()
	if err != nil {
		return nil, with(atGM, "joining", err)
	}
	payload, err := cbor.Marshal(membershipPut{answer.Raw, assoc, answer.NodePath, t.s.record().Multicast})
	if err != nil {
		return nil, err
	}
	clear(assoc.MasterSecret)
	h := &handover{Group: t.j.rec.Group, Payload: payload, SenderID: answer.Response.Key.SenderID, Expires: assoc.Expires, Mute: mute}
	return h, t.save(ctx, func(r *deviceRecord) {
		r.Handover = h
		r.Registered = r.Registered || t.registered
	})
}

// handOver gives the device what was obtained for it, always with the same PUT,
// and wipes it here once the device has it. It fails with errRejoin when the
// device will never take it.
func (t *task) handOver(ctx context.Context, h *handover) error {
	t.step("handing over the keys")
	device, err := t.s.managerSession(ctx, t.d)
	if err != nil {
		return err
	}
	req := coap.NewRequest(coap.PUT, "/ll/groups/"+h.Group, h.Payload)
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	resp, err := device.Call(ctx, req)
	if err == nil {
		err = coap.CheckResponse(resp)
	}
	var re *coap.ResponseError
	switch {
	case !unknownContext(err) && errors.As(err, &re) && coap.Class(re.Code) == 4:
		return errRejoin.because(err)
	case err != nil:
		return t.deviceSaid("handing over the keys", err)
	}
	taken := func(r *deviceRecord) {
		r.Handover = nil
		r.Groups = r.withPlace(place{Group: h.Group, SenderID: h.SenderID, Expires: h.Expires, Mute: h.Mute})
		r.Found, r.LastSeen = true, t.s.e.now()
	}
	if h.Group == t.j.rec.Group {
		err = t.finish(ctx, joinedAs(h.SenderID, h.Mute), taken)
	} else { // of an earlier job; this one's work is still to do
		err = t.save(ctx, taken)
	}
	if err != nil {
		return err
	}
	clear(h.Payload)
	if h.Mute {
		t.s.e.warn(t.d.id, errMute.Text+" "+errMute.Next)
	}
	if g, err := t.s.knownGroup(h.Group); err == nil {
		t.s.addPeers(g, responder(h.SenderID, t.rec().Cred))
	}
	return nil
}

// deviceSaid is an error of a session on the owner key. A device that does not
// know the key any more was reset, or has changed hands; or somebody says so in
// its name, for such an answer is not protected. So the next try claims it by its
// label, and only that claim's success ends what was.
func (t *task) deviceSaid(doing string, err error) error {
	if unknownContext(err) && !t.rec().claimed() {
		t.d.sessions.manager = nil
		return errNotListed.because(err)
	}
	if unknownContext(err) {
		t.it.reclaim = true
		t.d.sessions.owner = nil
		return errLostOwner.because(err)
	}
	return with(atDevice, doing, err)
}
