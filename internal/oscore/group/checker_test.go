package group

import (
	"errors"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

func (w *world) checker() *Checker {
	w.t.Helper()
	c, err := NewChecker(CheckerParams{
		GID: w.gid, GMCred: w.gmCred, SignatureEncryptionKey: w.members[0].SignatureEncryptionKey(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i, cred := range w.creds {
		if err := c.SetPeer(Peer{KID: []byte{byte(i)}, Cred: cred}); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

func TestChecker(t *testing.T) {
	w := newWorld(t, 2)
	c := w.checker()
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	checked, err := c.CheckRequest(over(t, outer))
	if err != nil || string(checked.From.Cred) != string(w.creds[0]) {
		t.Fatalf("%+v, %v", checked.From, err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // without Partial IV and with one
		resp, err := w.members[1].ProtectResponse(content("x"), sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		if from, err := c.CheckResponse(over(t, resp), checked); err != nil || from.KID[0] != 1 {
			t.Errorf("%+v, %v", from, err)
		}
		resp.Payload[0] ^= 1
		if _, err := c.CheckResponse(over(t, resp), checked); !errors.Is(err, oscore.ErrVerify) {
			t.Errorf("got %v", err)
		}
	}
}

// It needs and has nothing that decrypts, and refuses what members refuse.
func TestCheckerRefuses(t *testing.T) {
	w := newWorld(t, 3)
	c := w.checker()
	client, server := w.members[0], w.members[1]
	outer, _, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.ProtectResponse(content("x"), sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	opened, saved := 0, cose.Recorder
	cose.Recorder = func(_, _, _, _ []byte) { opened++ }
	defer func() { cose.Recorder = saved }()
	checked, err := c.CheckRequest(outer)
	if err != nil || opened != 0 {
		t.Fatalf("%v, %d ciphers were used", err, opened)
	}
	option := func(m *coap.Message, change func(*oscore.Option)) *coap.Message {
		m = over(t, m)
		o := optionOf(t, m)
		change(&o)
		coap.SetOption(m, coap.OptionOSCORE, oscore.AppendOption([]byte{}, o))
		return m
	}
	for name, x := range map[string]struct {
		change func(*oscore.Option)
		want   error
	}{
		"another Gid":        {func(o *oscore.Option) { o.KIDContext = []byte{1} }, coap.ErrNoContext},
		"no Gid":             {func(o *oscore.Option) { o.KIDContext = nil }, coap.ErrNoContext},
		"no kid":             {func(o *oscore.Option) { o.KID = nil }, oscore.ErrDecode},
		"no Partial IV":      {func(o *oscore.Option) { o.PIV = nil }, oscore.ErrDecode},
		"another member":     {func(o *oscore.Option) { o.KID = []byte{2} }, oscore.ErrVerify},
		"another Partial IV": {func(o *oscore.Option) { o.PIV = []byte{9} }, oscore.ErrVerify},
		"pairwise mode":      {func(o *oscore.Option) { o.Group = false }, ErrMode},
	} {
		if _, err := c.CheckRequest(option(outer, x.change)); !errors.Is(err, x.want) {
			t.Errorf("request with %s: %v", name, err)
		}
	}
	for name, x := range map[string]struct {
		change func(*oscore.Option)
		want   error
	}{
		"another Gid":    {func(o *oscore.Option) { o.KIDContext = []byte{1} }, coap.ErrNoContext},
		"no kid":         {func(o *oscore.Option) { o.KID = nil }, oscore.ErrDecode},
		"another member": {func(o *oscore.Option) { o.KID = []byte{0} }, oscore.ErrVerify},
		"a Partial IV":   {func(o *oscore.Option) { o.PIV = []byte{9} }, oscore.ErrVerify},
	} {
		if _, err := c.CheckResponse(option(resp, x.change), checked); !errors.Is(err, x.want) {
			t.Errorf("response with %s: %v", name, err)
		}
	}
	short := over(t, outer)
	short.Payload = short.Payload[:72]
	if _, err := c.CheckRequest(short); !errors.Is(err, oscore.ErrVerify) {
		t.Errorf("too short: %v", err)
	}
	for _, m := range []*coap.Message{get("/plain")} {
		if _, err := c.CheckRequest(m); !errors.Is(err, oscore.ErrDecode) {
			t.Errorf("got %v", err)
		}
		if _, err := c.CheckResponse(m, checked); !errors.Is(err, oscore.ErrDecode) {
			t.Errorf("got %v", err)
		}
	}
	c.RemovePeer([]byte{0})
	if _, err := c.CheckRequest(outer); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("without the credential: %v", err)
	}
}

// A response in group mode to a request in pairwise mode may leave the kid out;
// the caller knows whom the request went to. After a rekeying the new checker
// gets the new Gid from the response, and the rest from the request.
func TestCheckerOfResponses(t *testing.T) {
	w := newWorld(t, 2)
	c := w.checker()
	outer, _, err := w.members[0].ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckRequest(outer); !errors.Is(err, ErrMode) {
		t.Errorf("got %v", err)
	}
	checked, err := c.ReadRequest(outer)
	if err != nil || checked.From.Cred != nil {
		t.Fatalf("%+v, %v", checked, err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.members[1].protectResponse(content("x"), sb, Group, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckResponse(resp, checked); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("from nobody: %v", err)
	}
	checked.Server = []byte{1}
	if from, err := c.CheckResponse(resp, checked); err != nil || from.KID[0] != 1 {
		t.Errorf("%+v, %v", from, err)
	}
	old := resp
	w.rekey()
	if resp, err = w.members[1].ProtectResponse(content("x"), sb, Group); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckResponse(resp, checked); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("by the old checker: %v", err)
	}
	c = w.checker()
	if from, err := c.CheckResponse(resp, checked); err != nil || from.KID[0] != 1 {
		t.Errorf("%+v, %v", from, err)
	}
	if _, err := c.CheckResponse(old, checked); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("of the old epoch: %v", err)
	}
	coap.SetOption(resp, coap.OptionOSCORE, oscore.AppendOption(nil, oscore.Option{Group: true, KID: []byte{1}, KIDContext: w.gid}))
	if _, err := c.CheckResponse(resp, checked); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("of the new epoch without Partial IV: %v", err)
	}
}

func TestNewChecker(t *testing.T) {
	w := newWorld(t, 1)
	good := CheckerParams{GID: w.gid, GMCred: w.gmCred, SignatureEncryptionKey: w.members[0].SignatureEncryptionKey()}
	for name, edit := range map[string]func(*CheckerParams){
		"algorithms":    func(p *CheckerParams) { p.Algs = Algorithms{Sign: -35} },
		"no group mode": func(p *CheckerParams) { p.Algs = DefaultAlgorithms; p.Algs.Sign = cose.Null },
		"key":           func(p *CheckerParams) { p.SignatureEncryptionKey = []byte("short") },
		"Gid":           func(p *CheckerParams) { p.GID = make([]byte, 250) },
	} {
		p := good
		edit(&p)
		if _, err := NewChecker(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	asked := 0
	good.ParseCred = func(b []byte) (cose.Credential, error) { return cose.ParseCCS(b[1:]) }
	good.Verify = func(key cose.PublicKey, message, sig []byte) bool { asked++; return key.Verify(message, sig) }
	c, err := NewChecker(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Peer{
		"a long Sender ID": {KID: make([]byte, 8), Cred: append([]byte{0}, w.creds[0]...)},
		"no credential":    {KID: []byte{0}, Cred: []byte{0}},
		"another curve":    {KID: []byte{0}, Cred: append([]byte{0}, newKey(t, cose.P256).Public().CCS("")...)},
	} {
		if c.SetPeer(p) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := c.SetPeer(Peer{KID: []byte{0}, Cred: append([]byte{0}, w.creds[0]...)}); err != nil {
		t.Fatal(err)
	}
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckRequest(outer); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
