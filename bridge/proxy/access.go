package proxy

import (
	"crypto/sha256"
	"time"

	"lamplighter/internal/coap"
)

// Access lets one person in: whoever knows the code with this hash.
type Access struct {
	Hash    [sha256.Size]byte // of the access code, a secret of at least 128 bit
	Expires time.Time         // zero: when it is taken off the list
	Revoked bool              // opens nothing; who tries is told so
}

// SetAccess replaces the list of who may sign in. The sessions and the open
// connections of all others end at once; nobody else notices.
func (s *Server) SetAccess(list []Access) {
	s.sessions.set(list)
	s.mu.Lock()
	var ending []*conn
	for c := range s.conns {
		if !c.allowed(time.Now()) {
			ending = append(ending, c)
		}
	}
	s.mu.Unlock()
	for _, c := range ending {
		go c.dismiss()
	}
}

// allowed reports whether the client may still be here.
func (c *conn) allowed(now time.Time) bool {
	if c.who == nil {
		return true
	}
	_, standing := c.srv.sessions.code(*c.who, now)
	return standing == welcome
}

// lastWord is how long a client that is dismissed may take to hear it.
const lastWord = time.Second

// dismiss ends a connection whose access is over: from now on nothing is
// forwarded, in either direction. The client asks /session why when it comes
// back.
func (c *conn) dismiss() {
	if c.dismissed.Swap(true) {
		return
	}
	c.mu.Lock()
	c.leaving = true
	ws := c.ws
	for _, x := range c.exchanges {
		c.dropLocked(x)
	}
	c.mu.Unlock()
	if ws == nil {
		return // still in the handshake; run sees it
	}
	c.srv.config.Logger.Info("a connection ends: the access is over", "from", c.remote)
	time.AfterFunc(lastWord, ws.cut)
	c.send(coap.NewAbort(0, "The access is over.")) // a client closes then
}
