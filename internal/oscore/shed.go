package oscore

import (
	"runtime"
	"weak"
)

// Shed lets go of a context to save memory: requests under it are no longer
// opened. Whoever answers or observes under it at the moment goes on; as long as
// somebody does, [Server.Revive] finds it, with its window and sequence numbers.
func (s *Server) Shed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	if e == nil {
		return
	}
	s.take(e)
	at := weak.Make(e)
	s.shed[name] = at
	runtime.AddCleanup(e, func(at weak.Pointer[served]) { s.forget(name, at) }, at)
}

// forget ends the search for a context that nobody holds any more.
func (s *Server) forget(name string, at weak.Pointer[served]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shed[name] == at {
		delete(s.shed, name)
	}
}

// Revive reports whether the context of that name is here, and takes it back when
// it was shed and somebody still holds it. When it returns false, nobody can use
// the context that was shed: another may be made of what is durable.
func (s *Server) Revive(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] != nil {
		return true
	}
	e := s.shed[name].Value()
	delete(s.shed, name)
	if e == nil {
		return false
	}
	s.put(e)
	return true
}

// Len returns how many contexts are here, those that were shed not counted.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byName)
}
