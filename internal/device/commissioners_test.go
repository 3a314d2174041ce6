package device

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// commissionerSession is a fresh session on what the installer's credential and the
// lamp's make together.
func (in *installer) commissionerSession() coap.Caller {
	in.w.t.Helper()
	psk, err := oscore.CommissionerPSK(in.key, cose.Ed25519PublicKey(in.w.lampKey()), in.cred, in.w.lamp.Credential())
	if err != nil {
		in.w.t.Fatal(err)
	}
	return oscore.NewPSKClient(psk, in.ex, in.w.addr, in.w.rand)
}

func (in *installer) list(version uint64, list ...commissioner) error {
	return do(in.ownerSession(), coap.PUT, "/ll/commissioners", commissioners{version, list}, nil)
}

// listMessage is a group request that changes the list.
func listMessage(c commissioners) *coap.Message {
	req := coap.NewRequest(coap.PUT, "/ll/commissioners", cbor.MustMarshal(c))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	return req
}

func TestCommissioners(t *testing.T) {
	w, anna := commissioned(t)
	bert := w.installer("bert", 2)
	var have commissioners
	if err := do(anna.ownerSession(), coap.GET, "/ll/commissioners", nil, &have); err != nil {
		t.Fatal(err)
	}
	if have.Version != 1 || len(have.List) != 1 || !bytes.Equal(have.List[0].Cred, anna.cred) {
		t.Fatalf("%+v", have)
	}
	wantCode(t, "not listed", do(bert.commissionerSession(), coap.POST, "/ll/blink", nil, nil), coap.Unauthorized)
	if err := anna.list(2, commissioner{anna.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	for _, reboot := range []bool{false, true} {
		if reboot {
			w.boot()
		}
		session := bert.commissionerSession()
		for _, c := range []struct {
			method coap.Code
			path   string
			body   any
			want   coap.Code // 0: a success
		}{
			{coap.POST, "/ll/blink", nil, 0},
			{coap.GET, "/ll/groups", nil, 0},
			{coap.GET, "/ll/commissioners", nil, 0},
			{coap.PUT, "/ll/commissioners", commissioners{9, []commissioner{{bert.cred, allRights}}}, coap.Forbidden},
			{coap.DELETE, "/ll/claim", nil, coap.Forbidden},
			{coap.PUT, "/light", on(true), coap.Forbidden},
			{coap.DELETE, node, nil, coap.Forbidden},
		} {
			err := do(session, c.method, c.path, c.body, nil)
			if c.want == 0 && err != nil {
				t.Errorf("%v %s: %v", c.method, c.path, err)
			} else if c.want != 0 {
				wantCode(t, c.path, err, c.want)
			}
		}
	}
	// A commissioner joins the lamp anew, in the owner's absence.
	before := w.members()[lampSubject].SenderID
	owner := bert.commissionerSession()
	h, err := bert.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(owner, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
		t.Fatal(err)
	}
	if m := w.members()[lampSubject]; bytes.Equal(m.SenderID, before) || m.Obtainer == "" {
		t.Errorf("%+v", m)
	}
	anna.refresh()
	if _, err := anna.light(on(true)); err != nil {
		t.Error(err)
	}
}

// Who is taken off the list can do nothing from that moment on: not in a session
// that is open, not in a new one, not as a member of the group, not with what was
// recorded; and no older list comes back.
func TestCommissionerRemoved(t *testing.T) {
	w, anna := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	both := []commissioner{{anna.cred, allRights}, {bert.cred, allRights}}
	if err := anna.list(2, both...); err != nil {
		t.Fatal(err)
	}
	open := bert.commissionerSession()
	if err := do(open, coap.POST, "/ll/blink", nil, nil); err != nil {
		t.Fatal(err)
	}
	sent := w.tap()
	if got := bert.cast(listMessage(commissioners{3, both})); len(got) != 1 || got[0].msg.Code != coap.Changed {
		t.Fatalf("as a member of the group: %+v", got)
	}
	held := bert.seal(listMessage(commissioners{5, both})) // on its way for long
	if err := anna.list(4, both[0]); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if err := do(open, coap.POST, "/ll/blink", nil, nil); err == nil {
			t.Errorf("%s: the open session is good still", when)
		}
		if err := do(bert.commissionerSession(), coap.GET, "/ll/groups", nil, nil); err == nil {
			t.Errorf("%s: a new session is good", when)
		}
		if got := bert.cast(listMessage(commissioners{9, both})); len(got) == 1 && got[0].msg.Code == coap.Changed {
			t.Errorf("%s: the list is changed in group mode", when)
		}
		_, err := bert.ask(listMessage(commissioners{9, both}), w.members()[lampSubject].SenderID)
		if err == nil {
			t.Errorf("%s: the list is changed in pairwise mode", when)
		}
		for _, datagram := range *sent {
			w.net.Inject(t.Context(), browserAddr, lampAddr, datagram, true)
		}
		bert.send(held)
		var have commissioners
		if err := do(anna.ownerSession(), coap.GET, "/ll/commissioners", nil, &have); err != nil {
			t.Fatal(err)
		}
		if have.Version != 4 || len(have.List) != 1 {
			t.Errorf("%s: %+v", when, have)
		}
	}
	check("at once")
	w.boot()
	check("after a reboot")
	if _, err := bert.light(on(true)); err != nil {
		t.Errorf("the group is another matter: %v", err)
	}
}

// seal protects a request for the group and does not send it.
func (in *installer) seal(req *coap.Message) *coap.Message {
	in.w.t.Helper()
	outer, _, err := in.group.ProtectRequest(req, nil)
	if err != nil {
		in.w.t.Fatal(err)
	}
	return outer
}

// The version rises; a repetition repeats the answer.
func TestCommissionersVersion(t *testing.T) {
	w, anna := commissioned(t)
	one := commissioner{anna.cred, allRights}
	other := commissioner{credOf("carl", key(3)), rightManage}
	for i, c := range []struct {
		version uint64
		list    []commissioner
		want    coap.Code
	}{
		{1, []commissioner{other}, coap.Conflict}, {5, []commissioner{one, other}, 0}, {5, []commissioner{one, other}, 0},
		{5, []commissioner{one}, coap.Conflict}, {4, []commissioner{one}, coap.Conflict}, {6, []commissioner{one}, 0},
		{7, nil, coap.BadRequest}, {7, []commissioner{other}, coap.BadRequest}, // nobody could change it
		{0, []commissioner{one}, coap.BadRequest}, {7, []commissioner{one, one}, coap.BadRequest},
		{7, []commissioner{{anna.cred, 2}}, coap.BadRequest}, {7, []commissioner{{anna.cred, 5}}, coap.BadRequest},
		{7, []commissioner{{[]byte("no credential"), 1}}, coap.BadRequest}, {7, make([]commissioner, maxCommissioners+1), coap.BadRequest},
	} {
		err := anna.list(c.version, c.list...)
		if c.want == 0 && err != nil {
			t.Errorf("%d: %v", i, err)
		} else if c.want != 0 {
			wantCode(t, "list", err, c.want)
		}
	}
	w.boot()
	var have commissioners
	if err := do(anna.ownerSession(), coap.GET, "/ll/commissioners", nil, &have); err != nil || have.Version != 6 {
		t.Errorf("%+v, %v", have, err)
	}
	// A release forgets it, and the next claim begins anew.
	if err := do(anna.ownerSession(), coap.DELETE, "/ll/claim", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := anna.claim(); err != nil {
		t.Fatal(err)
	}
	if err := do(anna.ownerSession(), coap.GET, "/ll/commissioners", nil, &have); err != nil || have.Version != 1 {
		t.Errorf("%+v, %v", have, err)
	}
}

// An owner who is not on a newer list is the owner no more: not in an open session,
// not in a new one, not with the label, not after a reboot. Who may change the list
// releases the device in the owner's place, or takes the owner up again.
func TestOwnerRemoved(t *testing.T) {
	w := newWorld(t)
	carl, anna := w.installer("carl", 4), w.installer("anna", 1)
	c := w.claimFor(carl)
	c.Commissioners = [][]byte{carl.cred, anna.cred}
	claim := func() error { return do(carl.labelSession(), coap.POST, "/ll/claim", c, nil) }
	if err := claim(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "a commissioner releases", do(anna.commissionerSession(), coap.DELETE, "/ll/claim", nil, nil), coap.Forbidden)
	put := func(version uint64, list ...commissioner) error {
		return do(anna.commissionerSession(), coap.PUT, "/ll/commissioners", commissioners{version, list}, nil)
	}
	if err := put(2, commissioner{anna.cred, allRights}); err != nil { // before the owner key was used
		t.Fatal(err)
	}
	if err := claim(); err == nil {
		t.Error("the label brings the owner back")
	}
	if err := put(3, commissioner{anna.cred, allRights}, commissioner{carl.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	open := carl.ownerSession()
	if err := do(open, coap.GET, "/ll/groups", nil, nil); err != nil {
		t.Fatalf("taken up again: %v", err)
	}
	if err := put(4, commissioner{anna.cred, allRights}); err != nil {
		t.Fatal(err)
	}
	for _, reboot := range []bool{false, true} {
		if reboot {
			w.boot()
		}
		for what, session := range map[string]coap.Caller{"open": open, "new": carl.ownerSession(), "as a commissioner": carl.commissionerSession()} {
			for path, method := range map[string]coap.Code{"/ll/groups": coap.GET, "/ll/claim": coap.DELETE, "/ll/claim?force": coap.DELETE, "/ll/blink": coap.POST} {
				if err := do(session, method, path, nil, nil); err == nil {
					t.Fatalf("%s: %s", what, path)
				}
			}
			if err := do(session, coap.PUT, "/ll/commissioners", commissioners{9, []commissioner{{carl.cred, allRights}}}, nil); err == nil {
				t.Fatalf("%s: back on the list", what)
			}
		}
		if err := claim(); err == nil {
			t.Fatal("claimed again")
		}
	}
	if err := do(anna.commissionerSession(), coap.DELETE, "/ll/claim", nil, nil); err != nil || w.lamp.State().Claimed {
		t.Errorf("released: %v", err)
	}
	if err := anna.claim(); err != nil {
		t.Error(err)
	}
}
