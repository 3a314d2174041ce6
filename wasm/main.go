//go:build js && wasm

// The engine as a WebAssembly program for the page's worker. It sets
//
//	globalThis.__lamplighter = {
//	  start(options: string, onEvent: (json: string) => void): Promise<string>,  // JSON of the Snapshot
//	  call(method: string, args: string): Promise<string>,                       // JSON of the result, "null" for void
//	}
//
// and then calls globalThis.__lamplighterReady(). Options are {base, record,
// version}: the page's origin, whether the nonce recorder runs, what the page is.
// Promises reject with an Error that has code, next and retry of a Problem.
//
// The worker holds the Web Lock before it calls start. Everything else about the
// protocol is in internal/commission.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall/js"

	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/store/indexeddb"
	"lamplighter/wasm/webcrypto"
)

// database is the name of the IndexedDB database of this origin.
const database = "lamplighter"

type options struct {
	Base    string `json:"base"`
	Record  bool   `json:"record"`
	Version string `json:"version"`
}

// binding is the one engine of this program.
type binding struct {
	started bool
	engine  *commission.Engine
	link    *endpoint.Link
}

func main() {
	b := &binding{}
	start := js.FuncOf(func(_ js.Value, args []js.Value) any {
		return promised(func() (string, error) { return b.start(args) })
	})
	call := js.FuncOf(func(_ js.Value, args []js.Value) any {
		return promised(func() (string, error) { return b.call(args) })
	})
	// Both live as long as the program.
	js.Global().Set("__lamplighter", map[string]any{"start": start, "call": call})
	if ready := js.Global().Get("__lamplighterReady"); ready.Type() == js.TypeFunction {
		ready.Invoke()
	}
	select {}
}

var (
	errTwice     = errors.New("the engine was started already")
	errArguments = errors.New("start wants options in JSON and a function, call a method and arguments in JSON")
)

func (b *binding) start(args []js.Value) (string, error) {
	if len(args) != 2 || args[0].Type() != js.TypeString || args[1].Type() != js.TypeFunction {
		return "", errArguments
	}
	if b.started {
		return "", errTwice
	}
	b.started = true
	var o options
	if err := json.Unmarshal([]byte(args[0].String()), &o); err != nil {
		return "", errArguments
	}
	db, err := indexeddb.Open(context.Background(), database)
	if err != nil {
		return "", storageError(err)
	}
	d := newDialer(o.Base)
	b.link = endpoint.NewLink(d.dial, func(s endpoint.LinkState) { b.linkChanged(s) })
	d.link = b.link
	b.engine, err = commission.New(commission.Config{
		Store: db, Exchange: b.link, SignIn: d.signIn, Sealer: pageSealer{}, Events: emitter(args[1]),
		Version: o.Version, Record: o.Record, Verify: &webcrypto.Verifier{},
	})
	if err != nil {
		return "", err
	}
	b.engine.SetLink(false, 0, "")
	if err := b.engine.Start(context.Background()); err != nil {
		return "", err
	}
	d.engine = b.engine
	snap := b.engine.Snapshot()
	if snap.Site.Name != "" {
		d.begin()
	}
	return toJSON(snap)
}

// linkChanged passes the link's state on. Before there is an engine nothing can
// have changed.
func (b *binding) linkChanged(s endpoint.LinkState) {
	if b.engine != nil {
		b.engine.SetLink(s.Up, s.RTT, sentence(s.Reason))
	}
}

func (b *binding) call(args []js.Value) (string, error) {
	if len(args) != 2 || args[0].Type() != js.TypeString || args[1].Type() != js.TypeString || b.engine == nil {
		return "", errArguments
	}
	result, err := b.engine.Call(context.Background(), args[0].String(), json.RawMessage(args[1].String()))
	if err != nil {
		return "", err
	}
	return toJSON(result)
}

// emitter hands events to the page as JSON.
func emitter(onEvent js.Value) func(commission.Event) {
	return func(ev commission.Event) {
		if text, err := toJSON(ev); err == nil {
			onEvent.Invoke(text)
		}
	}
}

func toJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// storageError says what to do when the browser offers no storage.
func storageError(err error) error {
	p := commission.Problem{ID: "no-storage", Text: "The browser offers no storage to this page.",
		Next: "Allow storage for this site, leave private browsing, and open the page over https or on localhost."}
	if errors.Is(err, indexeddb.ErrDamaged) {
		p = commission.Problem{ID: "storage-damaged", Text: "What this browser has stored of the site cannot be read any more.",
			Next: "Clear this page's data and restore a backup."}
	}
	return fmt.Errorf("%w (%w)", &commission.Error{Problem: p}, err)
}
