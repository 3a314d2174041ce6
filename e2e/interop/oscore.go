package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// pair is what we and a peer share for OSCORE.
type pair struct {
	secret, salt, idContext []byte
	ours, theirs            []byte // Sender IDs
	aead, hkdf              cose.Algorithm
	next                    uint64 // Sender Sequence Number
}

// variant changes what an OSCORE case starts with.
type variant struct {
	idContext  []byte
	windowLost bool           // the server has lost its Replay Window
	aead       cose.Algorithm // 0: AES-CCM-16-64-128
	hkdf       cose.Algorithm // 0: HKDF SHA-256
	next       uint64         // both sides' first Sender Sequence Number
}

// newPair draws a pair for a case.
func newPair(v variant) pair {
	return pair{
		secret: random(16), salt: random(8), idContext: v.idContext,
		ours: []byte{0x0a}, theirs: []byte{},
		aead: cmp.Or(v.aead, cose.AESCCM16_64_128), hkdf: cmp.Or(v.hkdf, cose.HKDFSHA256), next: v.next,
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand's promise
	return b
}

// context derives our context.
func (p pair) context(echoFirst bool) (*oscore.Context, error) {
	return oscore.New(oscore.Params{
		MasterSecret: p.secret, MasterSalt: p.salt, IDContext: p.idContext,
		SenderID: p.ours, RecipientID: p.theirs, EchoFirst: echoFirst,
		AEAD: p.aead, HKDF: p.hkdf, Sequence: oscore.NewSequence(p.next, nil),
	})
}

// oscoreConfig configures a peer's context; bytes are in hex.
type oscoreConfig struct {
	Dir        string         `json:"dir"`
	Secret     string         `json:"secret"`
	Salt       string         `json:"salt"`
	ID         string         `json:"id"`
	Peer       string         `json:"peer"`
	IDContext  string         `json:"id_context,omitempty"`
	AEAD       cose.Algorithm `json:"aead"`
	Hash       string         `json:"hash"`
	WindowLost bool           `json:"window_lost,omitempty"`
	Next       uint64         `json:"next,omitempty"`
}

// peerConfig is the first line to a peer.
type peerConfig struct {
	Role   string        `json:"role"`
	OSCORE *oscoreConfig `json:"oscore,omitempty"`
	Group  *groupConfig  `json:"group,omitempty"`
	Proxy  string        `json:"proxy,omitempty"` // URI of a forward proxy
}

// config is the peer's half of p.
func (p pair) config(l *lab, v variant) (*oscoreConfig, error) {
	dir, err := l.folder()
	return &oscoreConfig{
		Dir: dir, Secret: hex.EncodeToString(p.secret), Salt: hex.EncodeToString(p.salt),
		ID: hex.EncodeToString(p.theirs), Peer: hex.EncodeToString(p.ours),
		IDContext: hex.EncodeToString(p.idContext), WindowLost: v.windowLost,
		AEAD: p.aead, Hash: hashes[p.hkdf], Next: p.next,
	}, err
}

// hashes are the peers' names for the hash functions of HKDF.
var hashes = map[cose.Algorithm]string{
	cose.HKDFSHA256: "sha256", cose.HMAC256: "sha256",
	cose.HKDFSHA512: "sha512", cose.HMAC512: "sha512",
}

// oscoreClient: our client uses the peer's lamp.
func oscoreClient(v variant) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		pair := newPair(v)
		server, err := l.oscorePeer(ctx, pair, v)
		if err != nil {
			return err
		}
		udp, err := l.newUDP()
		if err != nil {
			return err
		}
		sent := &recording{Exchanger: udp}
		client, err := pair.newClient(sent, server)
		if err != nil {
			return err
		}
		if err := walk(ctx, byCaller(client, single), single); err != nil {
			return err
		}
		return v.check(sent.count - len(exercise))
	}
}

// check compares how many Echo challenges were sent with how many should be.
func (v variant) check(challenges int) error {
	want := 0
	if v.windowLost {
		want = 1
	}
	if challenges != want {
		return fmt.Errorf("%d Echo challenges, not %d", challenges, want)
	}
	return nil
}

// oscorePeer starts the peer's server.
func (l *lab) oscorePeer(ctx context.Context, p pair, v variant) (*peer, error) {
	config, err := p.config(l, v)
	if err != nil {
		return nil, err
	}
	return l.start(ctx, "server", peerConfig{OSCORE: config})
}

// newClient makes our client of a peer's server.
func (p pair) newClient(ex coap.Exchanger, server *peer) (*oscore.Client, error) {
	own, err := p.context(false)
	if err != nil {
		return nil, err
	}
	return oscore.NewClient(own, ex, address(server.UDP)), nil
}

// oscoreServer: the peer's client uses our lamp.
func oscoreServer(v variant) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		pair := newPair(v)
		lamp, at, err := l.oscoreLamp(pair, v)
		if err != nil {
			return err
		}
		client, err := l.oscoreAsker(ctx, pair, "")
		if err != nil {
			return err
		}
		if err := walk(ctx, byPeer(client, at), single); err != nil {
			return err
		}
		_, challenges := lamp.counts()
		return v.check(challenges)
	}
}

// oscoreLamp starts our server.
func (l *lab) oscoreLamp(p pair, v variant) (*lamp, netip.AddrPort, error) {
	own, err := p.context(v.windowLost)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	server := oscore.NewServer(rand.Reader)
	server.Add("peer", nil, own)
	return l.newLamp(coap.PeerACE, server)
}

// oscoreAsker starts the peer's client, which asks through a forward proxy
// unless that is empty.
func (l *lab) oscoreAsker(ctx context.Context, p pair, proxy string) (*peer, error) {
	config, err := p.config(l, variant{})
	if err != nil {
		return nil, err
	}
	return l.start(ctx, "client", peerConfig{OSCORE: config, Proxy: proxy})
}

// oscoreRefused: the peer refuses a request that it had before, and one under
// another key; its refusals, which nothing protects, reach us as what they are.
func oscoreRefused(ctx context.Context, l *lab) error {
	pair := newPair(variant{})
	server, err := l.oscorePeer(ctx, pair, variant{})
	if err != nil {
		return err
	}
	udp, err := l.newUDP()
	if err != nil {
		return err
	}
	again := &recording{Exchanger: udp}
	client, err := pair.newClient(again, server)
	if err != nil {
		return err
	}
	req := coap.NewRequest(coap.GET, "/light", nil)
	if _, err := client.Call(ctx, req); err != nil {
		return err
	}
	resp, err := udp.Exchange(ctx, address(server.UDP), again.sent)
	if err != nil {
		return err
	}
	if oscore.IsProtected(resp) || resp.Code != coap.Unauthorized {
		return fmt.Errorf("a replay: answered %s", coap.CodeString(resp.Code))
	}
	pair.secret = random(16)
	if client, err = pair.newClient(udp, server); err != nil {
		return err
	}
	_, err = client.Call(ctx, req)
	if refused, ok := errors.AsType[*oscore.UnprotectedError](err); !ok || refused.Response.Code != coap.BadRequest {
		return fmt.Errorf("another key: %w", wrong(err))
	}
	return nil
}

// recording keeps the last request and its response, and counts them.
type recording struct {
	coap.Exchanger
	sent, heard *coap.Message
	count       int
}

// Exchange implements [coap.Exchanger].
func (r *recording) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	r.sent = coap.Clone(req)
	r.count++
	resp, err := r.Exchanger.Exchange(ctx, to, req)
	r.heard = resp
	return resp, err
}

// oscoreRefuses: our lamp does not obey the peer under another key.
func oscoreRefuses(ctx context.Context, l *lab) error {
	pair := newPair(variant{})
	lamp, at, err := l.oscoreLamp(pair, variant{})
	if err != nil {
		return err
	}
	pair.secret = random(16)
	client, err := l.oscoreAsker(ctx, pair, "")
	if err != nil {
		return err
	}
	// The peer tells its user that the answer is not protected.
	_, err = byPeer(client, at)(ctx, exercise[1])
	if err == nil || !strings.Contains(err.Error(), "NotAProtectedMessage") {
		return fmt.Errorf("another key: %w", wrong(err))
	}
	if used, _ := lamp.counts(); used > 0 {
		return errors.New("our lamp obeyed")
	}
	return nil
}

// wrong is err, or an error that says that there was none.
func wrong(err error) error {
	if err == nil {
		return errors.New("it was accepted")
	}
	return err
}
