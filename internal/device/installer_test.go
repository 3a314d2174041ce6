package device

import (
	"crypto/ed25519"
	"errors"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// everything is what the installers of the site may do.
var everything = as.Policy{Site: "site-1", Rules: []as.Rule{{
	Group: "*", Self: ace.RoleRequester | ace.RoleResponder, Devices: ace.RoleRequester | ace.RoleResponder,
}}}

// enroll makes the installer known to the Authorization Server.
func (in *installer) enroll() {
	t, w := in.w.t, in.w
	t.Helper()
	inv, err := w.as.Invite(t.Context(), in.name, everything)
	if err != nil {
		t.Fatal(err)
	}
	guest := oscore.NewPSKClient(oscore.NewPSK([]byte(inv.ID), inv.Secret, oscore.SaltInvitation), in.ex, asAddr, w.rand)
	if err := do(guest, coap.POST, "/enroll", map[int]any{1: in.cred, 2: in.name}, nil); err != nil {
		t.Fatal(err)
	}
	cred, err := cose.ParseCCS(w.as.Credential())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := cose.DerivedKey(inv.Secret, in.key, cred.Public, in.cred, w.as.Credential())
	if err != nil {
		t.Fatal(err)
	}
	in.as = oscore.NewPSKClient(oscore.NewPSK(in.cred, secret, oscore.SaltInstaller), in.ex, asAddr, w.rand)
}

// token gets a token for the installer, or for the lamp: register comes first.
func (in *installer) token(clientID string, roles ace.Role) (*ace.TokenResponse, error) {
	return join.Token(in.w.t.Context(), in.as, ace.TokenRequest{
		Audience: "gm", Scope: ace.EncodeScope([]ace.ScopeEntry{{Group: in.where, Roles: roles}}), ClientID: clientID,
	})
}

// register makes the lamp known to the Authorization Server.
func (in *installer) register(cred []byte) error {
	sum := cose.Thumbprint(cred)
	return do(in.as, coap.PUT, "/devices/"+label.FormatID(in.w.cfg.ID), map[int]any{1: sum[:], 2: "lamp-dim-1"}, nil)
}

// installer is a browser with a site credential.
type installer struct {
	w      *world
	name   string
	key    ed25519.PrivateKey
	cred   []byte
	ex     coap.Exchanger
	as     coap.Caller
	where  string   // the group that it works on
	gives  ace.Role // to the devices that it joins, beside that of a responder
	group  *group.Context
	member *join.Member
	ms     *join.Membership
	tok    *ace.TokenResponse // its own, and the association that came of it
	assoc  *join.Association
	gm     coap.Caller
}

func (w *world) installer(name string, seed byte) *installer {
	k := key(seed)
	in := &installer{w: w, where: "hall", name: name, key: k, cred: credOf(name, k), ex: w.net.From(browserAddr)}
	in.enroll()
	return in
}

func (w *world) claimFor(in *installer) claimRequest {
	return claimRequest{
		SiteCred: in.cred, Name: "Lamp 1", Site: "site-1",
		AS: server{asAddr.String(), w.as.Credential()}, GM: server{gmAddr.String(), w.gmCred}, Commissioners: [][]byte{in.cred},
	}
}

// labelSession and ownerSession are fresh sessions with the lamp, as of a browser
// that was just opened.
func (in *installer) labelSession() coap.Caller {
	return oscore.NewPSKClient(oscore.NewPSK(in.w.cfg.ID[:], in.w.cfg.LabelSecret, oscore.SaltLabel), in.ex, in.w.addr, in.w.rand)
}

func (in *installer) ownerSession() coap.Caller {
	secret, err := cose.DerivedKey(in.w.cfg.LabelSecret, in.key, cose.Ed25519PublicKey(in.w.lampKey()), in.cred, in.w.lamp.Credential())
	if err != nil {
		in.w.t.Fatal(err)
	}
	return oscore.NewPSKClient(oscore.NewPSK(in.cred, secret, oscore.SaltOwner), in.ex, in.w.addr, in.w.rand)
}

func (in *installer) claim() error {
	var got claimAnswer
	err := do(in.labelSession(), coap.POST, "/ll/claim", in.w.claimFor(in), &got)
	if err == nil && !in.w.lamp.Label().Matches(got.Cred) {
		return errors.New("the credential is not the label's")
	}
	return err
}

// obtain does everything of an assisted join up to the handover.
func (in *installer) obtain(owner coap.Caller) (*handover, error) {
	ctx, w := in.w.t.Context(), in.w
	roles := ace.RoleResponder | in.gives
	var offer popOffer
	if err := do(owner, coap.POST, "/ll/pop", popRequest{Group: in.where, Roles: &roles}, &offer); err != nil {
		return nil, err
	}
	if err := in.register(offer.Cred); err != nil {
		return nil, err
	}
	tok, err := in.token(label.FormatID(w.cfg.ID), roles)
	if err != nil {
		return nil, err
	}
	assoc, err := join.Transfer(ctx, in.ex, gmAddr, tok, offer.ID1, w.rand)
	if err != nil {
		return nil, err
	}
	assoc.Expires = uint64(w.clock.Now().Unix()) + tok.ExpiresIn
	var proof popProof
	if err := do(owner, coap.POST, "/ll/pop", popRequest{Group: in.where, NS: assoc.NS}, &proof); err != nil {
		return nil, err
	}
	seq := oscore.NewSequence(0, nil)
	octx, err := assoc.Context(seq)
	if err != nil {
		return nil, err
	}
	made := join.Offer{
		Scope: ace.EncodeJoinScope(ace.ScopeEntry{Group: in.where, Roles: roles}), NC: offer.NC, Cred: offer.Cred,
	}
	req := made.Request(proof.Proof, true)
	if w.tells {
		req.ControlURI = "coap://" + w.addr.String() + "/ace-group/" + in.where + "/node"
	}
	got, err := join.Join(ctx, oscore.NewClient(octx, in.ex, gmAddr), in.where, req)
	if err != nil {
		return nil, err
	}
	assoc.NextSSN = seq.Stop()
	return &handover{JoinResponse: got.Raw, Association: *assoc, NodePath: got.NodePath, Multicast: groupAddr.String()}, nil
}

// assist joins the lamp.
func (in *installer) assist() error {
	owner := in.ownerSession()
	h, err := in.obtain(owner)
	if err != nil {
		return err
	}
	return do(owner, coap.PUT, "/ll/groups/"+in.where, h, nil)
}

// self joins the browser itself.
func (in *installer) self(roles ace.Role) {
	t, w := in.w.t, in.w
	t.Helper()
	id1 := make([]byte, 3)
	w.rand.Read(id1)
	tok, err := in.token("", roles)
	if err != nil {
		t.Fatal(err)
	}
	assoc, err := join.Transfer(t.Context(), in.ex, gmAddr, tok, id1, w.rand)
	if err != nil {
		t.Fatal(err)
	}
	octx, err := assoc.Context(oscore.NewSequence(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	caller := oscore.NewClient(octx, in.ex, gmAddr)
	ms, got, err := join.Self(t.Context(), caller, join.SelfParams{
		Group: in.where, Roles: roles, Cred: in.cred, Key: cose.NewEd25519(in.key), GMCred: w.gmCred, GetCreds: true, NS: assoc.NS, Rand: w.rand,
	})
	if err != nil {
		t.Fatal(err)
	}
	in.member = join.NewMember(caller, in.where, got.NodePath)
	in.tok, in.assoc, in.gm = tok, assoc, caller
	in.take(ms)
}

func (in *installer) take(ms *join.Membership) {
	in.w.t.Helper()
	ctx, err := ms.Context(in.cred, cose.NewEd25519(in.key), oscore.NewSequence(0, nil), in.w.rand)
	if err != nil {
		in.w.t.Fatal(err)
	}
	in.ms, in.group = ms, ctx
}

// refresh brings the browser's keys and credentials up to date.
func (in *installer) refresh() {
	t := in.w.t
	t.Helper()
	ms, _, changed, err := in.member.Update(t.Context(), in.ms)
	if err != nil {
		t.Fatal(err)
	}
	peers, _, err := in.member.AllCreds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ms.Peers = peers; changed {
		in.take(ms)
		return
	}
	for _, p := range peers {
		if err := in.group.SetPeer(p); err != nil {
			t.Fatal(err)
		}
	}
	in.ms = ms
}

// lightMessage is a request for /light; a nil body makes it a GET.
func lightMessage(body any) *coap.Message {
	if body == nil {
		return coap.NewRequest(coap.GET, "/light", nil)
	}
	req := coap.NewRequest(coap.PUT, "/light", cbor.MustMarshal(body))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	return req
}

// reply is a verified answer of one member.
type reply struct {
	msg  *coap.Message
	from group.Peer
	mode group.Mode
}

// cast sends to the group and returns the verified answers.
func (in *installer) cast(req *coap.Message) []reply {
	t := in.w.t
	t.Helper()
	outer, binding, err := in.group.ProtectRequest(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []reply
	err = in.ex.Multicast(t.Context(), groupAddr, outer, time.Second, func(m *coap.Message, _ netip.AddrPort) {
		resp, from, mode, err := in.group.UnprotectResponse(m, binding)
		var unknown *group.UnknownPeerError
		if errors.As(err, &unknown) {
			return // somebody joined since; a browser would fetch the credential
		}
		if err != nil {
			t.Errorf("an answer: %v", err)
			return
		}
		got = append(got, reply{resp, from, mode})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// ask sends to one member, in pairwise mode.
func (in *installer) ask(req *coap.Message, kid []byte) (*reply, error) {
	in.w.t.Helper()
	outer, binding, err := in.group.ProtectRequest(req, kid)
	if err != nil {
		in.w.t.Fatal(err)
	}
	m, err := in.ex.Exchange(in.w.t.Context(), in.w.addr, outer)
	if err != nil {
		return nil, err
	}
	if !oscore.IsProtected(m) {
		return nil, cmpErr(coap.CheckResponse(m), errors.New("an unprotected success"))
	}
	resp, from, mode, err := in.group.UnprotectResponse(m, binding)
	if err != nil {
		return nil, err
	}
	return &reply{resp, from, mode}, coap.CheckResponse(resp)
}

// echoed repeats a challenged request to whom challenged it.
func (in *installer) echoed(req *coap.Message, challenge reply) (*reply, error) {
	return in.ask(oscore.WithEcho(req, challenge.msg), challenge.from.KID)
}

// light sends a request for /light to the group until the one lamp has answered
// it, as a browser does: a challenge is answered pairwise.
func (in *installer) light(body any) (Light, error) {
	in.w.t.Helper()
	req := lightMessage(body)
	got := in.cast(req)
	if len(got) != 1 {
		return Light{}, errors.New("silence")
	}
	r := &got[0]
	if oscore.IsChallenge(r.msg) {
		var err error
		if r, err = in.echoed(req, *r); err != nil {
			return Light{}, err
		}
	}
	if err := coap.CheckResponse(r.msg); err != nil {
		return Light{}, err
	}
	var l Light
	return l, cbor.Unmarshal(r.msg.Payload, &l)
}

// commissioned is a world in which the lamp is claimed and in the hall, and the
// browser can command it.
func commissioned(t testing.TB, edits ...func(*Config)) (*world, *installer) {
	t.Helper()
	w := newWorld(t, edits...)
	in := w.installer("anna", 1)
	in.self(ace.RoleRequester)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	if err := in.assist(); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	return w, in
}
