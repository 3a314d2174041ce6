package group

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// recipient is a Recipient Context: a peer, its keys and its Replay Window.
type recipient struct {
	peer   Peer
	cred   cose.Credential
	name   string      // the credential, as a key of maps
	key    cose.Secret // Recipient Key
	aead   cose.AEAD   // group mode; nil until needed
	window oscore.Window
	valid  bool // the window is to be relied on
	proven bool // a message of the peer verified, here or before a restart
	echo   oscore.Echo

	toPeer, fromPeer cose.AEAD // pairwise mode; nil until needed
}

// SetPeer adds a peer or changes its roles. Keys are derived when they are
// first needed. A credential that is no good, or whose key the group's algorithms
// cannot use, gives an error of package cose. A Sender ID that comes with another
// credential than before is a new peer with an invalid window. The own Sender ID
// is passed over.
func (c *Context) SetPeer(p Peer) error {
	kid := string(p.KID)
	old := c.peers[kid]
	if old.holds(p.Cred) {
		old.peer.Roles = p.Roles
		return nil
	}
	if err := c.algs.checkSenderID(p.KID); err != nil {
		return err
	}
	if c.own(p.KID) {
		return nil
	}
	var public cose.PublicKey
	if c.key != nil {
		public = c.key.Public()
	}
	cred, err := c.readCred(p.Cred, public)
	if err != nil {
		return fmt.Errorf("adding peer %x: %w", p.KID, err)
	}
	if old.holds(cred.Raw) {
		old.peer.Roles = p.Roles
		return nil
	}
	if old != nil {
		c.RemovePeer(p.KID)
	}
	state, restored := c.restored[kid]
	delete(c.restored, kid)
	window, err := oscore.NewWindow(c.windowSize, state)
	if err != nil {
		return err
	}
	c.peers[kid] = &recipient{
		peer:   Peer{KID: present(p.KID), Cred: cred.Raw, Roles: p.Roles},
		cred:   cred,
		name:   string(cred.Raw),
		window: window,
		valid:  restored || !c.echoFirst,
		proven: restored,
	}
	return nil
}

// holds says whether r is there and has this credential.
func (r *recipient) holds(cred []byte) bool { return r != nil && bytes.Equal(r.peer.Cred, cred) }

// RemovePeer forgets a peer, its keys and its window. As that loses what was
// received, windows that are made later in this epoch start invalid. RFC 10021,
// Section 2.6.1.2.
func (c *Context) RemovePeer(kid []byte) {
	_, known := c.peers[string(kid)]
	_, restored := c.restored[string(kid)]
	delete(c.peers, string(kid))
	delete(c.restored, string(kid))
	c.echoFirst = c.echoFirst || known || restored
}

// Discard forgets a peer that was added for a message which was refused then, and
// reports whether it did. Unlike with [Context.RemovePeer] windows that are made
// later are valid, as nothing was received that could be replayed; a peer of whom
// a message did verify stays. RFC 10021, Sections 2.6.1.2 and 7.2.
func (c *Context) Discard(kid []byte) bool {
	r, known := c.peers[string(kid)]
	if !known || r.proven {
		return false
	}
	delete(c.peers, string(kid))
	return true
}

// Peer returns the peer with a Sender ID.
func (c *Context) Peer(kid []byte) (Peer, bool) {
	r, ok := c.peers[string(kid)]
	if !ok {
		return Peer{}, false
	}
	return r.peer, true
}

// Peers returns all peers in the order of their Sender IDs.
func (c *Context) Peers() []Peer {
	peers := make([]Peer, 0, len(c.peers))
	for _, kid := range slices.Sorted(maps.Keys(c.peers)) {
		peers = append(peers, c.peers[kid].peer)
	}
	return peers
}

// Windows returns the Replay Windows to store, by Sender ID: those that are
// valid and have received something.
func (c *Context) Windows() map[string]oscore.WindowState {
	states := maps.Clone(c.restored)
	if states == nil {
		states = map[string]oscore.WindowState{}
	}
	for kid, r := range c.peers {
		if state := r.window.State(); r.valid && state.Next > 0 {
			states[kid] = state
		}
	}
	return states
}

// Window returns the Replay Window of one peer, zero for one that has none.
func (c *Context) Window(kid []byte) oscore.WindowState {
	r, ok := c.peers[string(kid)]
	if !ok || !r.valid {
		return oscore.WindowState{}
	}
	return r.window.State()
}

// own says whether a kid is the own Sender ID.
func (c *Context) own(kid []byte) bool { return !c.silent() && bytes.Equal(kid, c.senderID) }

// find returns the Recipient Context of a Sender ID. What the own credential
// signed under an earlier Sender ID is the own, too, and not to be reflected.
func (c *Context) find(kid []byte) (*recipient, error) {
	r, known := c.peers[string(kid)]
	switch {
	case c.own(kid) || !c.silent() && r.holds(c.cred):
		return nil, ErrOwn
	case !known:
		return nil, &UnknownPeerError{GID: c.gid, KID: bytes.Clone(kid)}
	}
	return r, nil
}

// current returns the Recipient Context of a peer that may have another Sender
// ID since: the credential decides.
func (c *Context) current(p Peer) (*recipient, error) {
	r, err := c.find(p.KID)
	if err == nil && r.holds(p.Cred) {
		return r, nil
	}
	for _, other := range c.peers {
		if other.holds(p.Cred) {
			return other, nil
		}
	}
	return nil, &UnknownPeerError{GID: c.gid, KID: p.KID}
}

// groupKey makes the cipher for what the peer sends in group mode.
func (c *Context) groupKey(r *recipient) error {
	if r.aead != nil {
		return nil
	}
	aead, err := cose.NewAEAD(c.algs.GroupEnc, c.recipientKey(r))
	if err != nil {
		return fmt.Errorf("deriving recipient key: %w", err)
	}
	r.aead = aead
	return nil
}

func (c *Context) recipientKey(r *recipient) cose.Secret {
	if r.key == nil {
		r.key = c.derive(r.peer.KID, "Key", cose.KeySize(c.algs.derivation()))
	}
	return r.key
}

// pairwise derives the pairwise keys of a peer:
//
//	Pairwise Sender Key    = HKDF(Sender Key,    own cred  | peer cred | shared secret)
//	Pairwise Recipient Key = HKDF(Recipient Key, peer cred | own cred  | shared secret)
//
// RFC 10021, Section 2.5.1.
func (c *Context) pairwise(r *recipient) error {
	if r.toPeer != nil {
		return nil
	}
	shared, err := c.key.SharedSecret(r.cred.Public)
	if err != nil {
		return fmt.Errorf("deriving pairwise keys: %w", err)
	}
	to, err := c.pairwiseAEAD(c.senderKey, c.senderID, c.cred, r.peer.Cred, shared)
	if err != nil {
		return err
	}
	from, err := c.pairwiseAEAD(c.recipientKey(r), r.peer.KID, r.peer.Cred, c.cred, shared)
	if err != nil {
		return err
	}
	r.toPeer, r.fromPeer = to, from
	return nil
}

func (c *Context) pairwiseAEAD(salt cose.Secret, senderID, senderCred, receiverCred, shared []byte) (cose.AEAD, error) {
	ikm := slices.Concat(senderCred, receiverCred, shared)
	size := cose.KeySize(c.algs.AEAD)
	info := oscore.AppendInfo(nil, senderID, c.gid, c.algs.AEAD, "Key", size)
	aead, err := cose.NewAEAD(c.algs.AEAD, c.kdf(ikm, salt, info, size))
	if err != nil {
		return nil, fmt.Errorf("deriving pairwise keys: %w", err)
	}
	return aead, nil
}
