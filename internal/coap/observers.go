package coap

import (
	"net/netip"
	"sync"
	"time"
)

// Observers is the list of observers of one resource (RFC 7641): who registered,
// and under which token. It is bounded, and one peer can hold a quarter of it. It
// is safe for concurrent use.
type Observers struct {
	limit int

	notifying sync.Mutex // one Notify at a time, or an older state could go last

	mu   sync.Mutex
	list map[observerKey]*Request
	last uint32 // the newest sequence number
	any  bool   // there is one
}

// observerKey tells registrations apart. RFC 7641, Section 4.1.
type observerKey struct {
	peer  string
	from  netip.AddrPort
	token string
}

// NewObservers makes a list of at most limit observers.
func NewObservers(limit int) *Observers {
	return &Observers{limit: limit, list: make(map[observerKey]*Request)}
}

// Register takes note of what a request says about observing and returns resp as
// the response to it: with an Observe Option when the client is now on the list.
// A client for whom there is no room, or who cannot be reached later, gets resp as
// it is, and so does one who deregisters. No change of the resource may come
// between making resp and Register, or the client would miss it. RFC 7641,
// Section 4.1.
func (o *Observers) Register(now time.Time, req *Request, resp *Message) *Message {
	v, has := OptionUint(req.Message, OptionObserve)
	if !has || req.Code != GET && req.Code != FETCH {
		return resp
	}
	key := observerKey{peerIdentity(req), req.From, string(req.Token)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if v != ObserveRegister || resp == nil || Class(resp.Code) != 2 || req.Push == nil {
		delete(o.list, key)
		return resp
	}
	if o.list[key] == nil && !o.room(key.peer) {
		return resp
	}
	kept := *req
	o.list[key] = &kept
	return numbered(resp, o.next(now))
}

func (o *Observers) room(peer string) bool {
	own := 0
	for k := range o.list {
		if k.peer == peer {
			own++
		}
	}
	return len(o.list) < o.limit && own < max(o.limit/4, 1)
}

// Len returns how many observers there are.
func (o *Observers) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)
}

// Any says whether an observer's request matches.
func (o *Observers) Any(match func(req *Request) bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, req := range o.list {
		if match(req) {
			return true
		}
	}
	return false
}

// Remove takes observers whose request matches off the list without a word.
func (o *Observers) Remove(match func(req *Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, req := range o.list {
		if match(req) {
			delete(o.list, k)
		}
	}
}

// Notify sends every observer what state makes of its request: nil for nothing. An
// error ends that observation. Who has gone is taken off the list. Calls follow
// one after the other, so that of concurrent ones the last tells the newest state:
// state must not call Notify, nor wait for somebody who does. RFC 7641, Sections
// 4.2 and 4.5.
func (o *Observers) Notify(now time.Time, state func(req *Request) *Message) {
	o.notifying.Lock()
	defer o.notifying.Unlock()
	o.mu.Lock()
	n := o.next(now)
	list := make(map[observerKey]*Request, len(o.list))
	for k, req := range o.list {
		list[k] = req
	}
	o.mu.Unlock()
	for k, req := range list {
		resp := state(req)
		if resp == nil {
			continue
		}
		last := Class(resp.Code) != 2
		if !last {
			resp = numbered(resp, n)
		}
		if err := req.Push(resp); err != nil || last {
			o.mu.Lock()
			if o.list[k] == req {
				delete(o.list, k)
			}
			o.mu.Unlock()
		}
	}
}

// numbered is resp with a sequence number.
func numbered(resp *Message, n uint32) *Message {
	resp = Clone(resp)
	SetOption(resp, OptionObserve, EncodeUint(n))
	return resp
}

// next makes a sequence number: the clock in milliseconds, so that a server that
// starts anew goes on where it was, and always newer than the one before. RFC
// 7641, Section 4.4.
func (o *Observers) next(now time.Time) uint32 {
	n := uint32(now.UnixMilli()) & maxObserve
	if o.any && !newer(o.last, n) {
		n = (o.last + 1) & maxObserve
	}
	o.last, o.any = n, true
	return n
}
