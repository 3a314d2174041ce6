package gm

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"sync"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// maxWatchers is how many may observe one admin resource.
const maxWatchers = 64

// watched keeps who observes which admin resource: the collection and the
// configurations of groups and how far their rekeyings are. Its zero value is ready. RFC 7641.
type watched struct {
	mu   sync.Mutex
	list map[string]*watchers // by path below /manage

	// shown are the configurations of groups when the observers of the collection
	// were last told: its list is made anew for changes of those alone, not whenever
	// a group gains a member.
	shown map[string]string
}

// watchers are the observers of one resource.
type watchers struct {
	observers *coap.Observers
	told      map[string][]byte // what each observer was told last
}

// announced says whether changes of a resource are: the collection, a configuration,
// the progress of a rekeying.
func announced(path []string) bool { return len(path) < 2 || len(path) == 2 && path[1] == "rekey" }

// watcherKey tells registrations apart, as [coap.Observers] does.
func watcherKey(req *coap.Request) string {
	return req.Peer.Name + " " + req.From.String() + " " + string(req.Token)
}

// register answers a request with an Observe Option. No change comes between the
// answer and the registration: who announces one waits for the lock.
func (w *watched) register(s *Server, ctx context.Context, req *coap.Request, path []string) *coap.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := s.manageOnce(ctx, req, path)
	at := joinPath(path)
	entry := w.list[at]
	if entry == nil {
		if coap.Class(resp.Code) != 2 {
			return resp
		}
		entry = &watchers{observers: coap.NewObservers(maxWatchers), told: make(map[string][]byte)}
	}
	resp = entry.observers.Register(s.cfg.Now(), req, resp)
	if coap.IsNotification(resp) {
		entry.told[watcherKey(req)] = resp.Payload
		if w.list == nil {
			w.list = make(map[string]*watchers)
		}
		w.list[at] = entry
	} else {
		delete(entry.told, watcherKey(req))
		w.clean(at)
	}
	return resp
}

// clean forgets a resource that nobody observes.
func (w *watched) clean(at string) {
	if e := w.list[at]; e != nil && e.observers.Len() == 0 {
		delete(w.list, at)
		if at == "" {
			w.shown = nil
		}
	}
}

// announce tells the observers of groups that have changed, and of the collection,
// what there is now. Who was told the same before is not told again.
func (w *watched) announce(s *Server, groups []string) {
	if len(groups) == 0 {
		return
	}
	if w.shows(s, groups) {
		w.notify(s, "")
	}
	for _, name := range groups {
		w.notify(s, name)
		w.notify(s, name, "rekey")
	}
}

// shows says whether somebody observes the collection and any of these groups has
// another configuration than before, is new or gone.
func (w *watched) shows(s *Server, groups []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list[""] == nil {
		return false
	}
	if w.shown == nil {
		w.shown = make(map[string]string)
	}
	other := false
	err := s.cfg.Store.View(context.Background(), func(tx store.Tx) error {
		for _, name := range groups {
			g, err := load[groupRecord](tx, groupKey(name))
			if err != nil {
				return err
			}
			if g == nil {
				other = true
				delete(w.shown, name)
				continue
			}
			now := string(etagOf(ace.Encode(s.configuration(g))))
			if w.shown[name] != now {
				other = true
			}
			w.shown[name] = now
		}
		return nil
	})
	return other || err != nil
}

func (w *watched) notify(s *Server, path ...string) {
	at := joinPath(path)
	w.mu.Lock()
	entry := w.list[at]
	w.mu.Unlock()
	if entry == nil {
		return
	}
	segments := path
	if at == "" {
		segments = nil
	}
	now := make(map[string][]byte)
	entry.observers.Notify(s.cfg.Now(), func(req *coap.Request) *coap.Message {
		resp := s.manageOnce(context.Background(), req, segments)
		w.mu.Lock()
		defer w.mu.Unlock()
		key := watcherKey(req)
		now[key] = resp.Payload
		if last, ok := entry.told[key]; ok && coap.Class(resp.Code) == 2 && bytes.Equal(last, resp.Payload) {
			return nil
		}
		return resp
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range entry.told {
		if payload, ok := now[key]; ok {
			entry.told[key] = payload
		} else { // it has gone, or came meanwhile and is told once more
			delete(entry.told, key)
		}
	}
	w.clean(at)
}

// end ends what is observed over an association whose token is good no longer. RFC
// 9200, Section 5.10.3.
func (w *watched) end(s *Server, id string) {
	w.mu.Lock()
	list := maps.Clone(w.list)
	w.mu.Unlock()
	for at, entry := range list {
		entry.observers.Notify(s.cfg.Now(), func(req *coap.Request) *coap.Message {
			if req.Peer.Name != id {
				return nil
			}
			return s.unauthorized()
		})
		w.mu.Lock()
		w.clean(at)
		w.mu.Unlock()
	}
}

// groupTx notes which groups a transaction writes.
type groupTx struct {
	store.Tx
	groups []string
	after  []func() // see [afterwards]
}

// Put implements [store.Tx].
func (t *groupTx) Put(key string, value []byte) error {
	t.note(key)
	return t.Tx.Put(key, value)
}

// Delete implements [store.Tx].
func (t *groupTx) Delete(key string) error {
	t.note(key)
	return t.Tx.Delete(key)
}

func (t *groupTx) note(key string) {
	if name, ok := strings.CutPrefix(key, groupKey("")); ok {
		t.groups = append(t.groups, name)
	}
}

// afterwards runs f when a transaction of [Server.commit] is durable. Of one that
// is run again only the last run counts.
func afterwards(tx store.Tx, f func()) {
	if t, ok := tx.(*groupTx); ok {
		t.after = append(t.after, f)
	}
}
