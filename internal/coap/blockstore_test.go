package coap

import "testing"

// A member of a group goes on in pairwise mode with what it began in group mode.
func TestPeerIdentity(t *testing.T) {
	member := Peer{Kind: PeerGroup, Name: "hall", KID: []byte{1}, Cred: []byte("cred")}
	same := func(edit func(*Peer)) bool {
		p := member
		edit(&p)
		return peerIdentity(&Request{Peer: p, From: addrA}) == peerIdentity(&Request{Peer: member, From: addrB})
	}
	if !same(func(p *Peer) { p.Kind = PeerPairwise }) || !same(func(p *Peer) { p.KID = []byte{2} }) {
		t.Error("a member is another peer in pairwise mode or under a new Sender ID")
	}
	for name, edit := range map[string]func(*Peer){
		"another member's": func(p *Peer) { p.Cred = []byte("other") },
		"another group's":  func(p *Peer) { p.Name = "yard" },
		"an association's": func(p *Peer) { p.Kind = PeerACE },
		"nobody's":         func(p *Peer) { p.Kind = PeerNone },
	} {
		if same(edit) {
			t.Errorf("%s transfer is the member's", name)
		}
	}
}
