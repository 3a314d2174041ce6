//go:build js && wasm

package indexeddb

import (
	"fmt"
	"syscall/js"
)

// Object stores of the database, and the id of the wrapping key.
const (
	version   = 1
	valueRows = "values" // name → nonce ‖ AES-GCM ciphertext
	keyRows   = "keys"   // id → CryptoKey, or the owner's name
	wrapKey   = "wrap"
	ownerKey  = "owner" // who opened the database last

	nonceSize = 12
)

// vault is the database with the key that wraps its values.
//
// Whoever opened it last owns it: every write transaction looks, inside itself,
// whether that is still so. An engine that lost its Web Lock and does not know yet
// could otherwise reserve the very sequence numbers that its successor uses.
type vault struct {
	owner  string // drawn at Open
	db     js.Value
	key    js.Value // CryptoKey
	subtle js.Value
	crypto js.Value
}

func openVault(name string) (*vault, error) {
	factory, crypto := js.Global().Get("indexedDB"), js.Global().Get("crypto")
	if !factory.Truthy() || !crypto.Truthy() || !crypto.Get("subtle").Truthy() {
		return nil, ErrUnavailable
	}
	db, err := openDatabase(factory, name)
	if err != nil {
		return nil, fmt.Errorf("opening IndexedDB: %w", err)
	}
	v := &vault{db: db, crypto: crypto, subtle: crypto.Get("subtle")}
	if v.key, err = v.loadKey(); err != nil {
		v.close()
		return nil, fmt.Errorf("loading the wrapping key: %w", err)
	}
	if err = v.own(); err != nil {
		v.close()
		return nil, fmt.Errorf("taking the database over: %w", err)
	}
	return v, nil
}

// own makes this vault the database's owner. What a former owner wrote is there
// when values are loaded after it; what it writes later fails.
func (v *vault) own() error {
	id := js.Global().Get("Uint8Array").New(nonceSize)
	v.crypto.Call("getRandomValues", id)
	v.owner = id.Call("join", "-").String()
	tx := v.strict(keyRows)
	tx.Call("objectStore", keyRows).Call("put", v.owner, ownerKey)
	return settle(tx, "oncomplete", "onerror", "onabort")
}

func openDatabase(factory js.Value, name string) (js.Value, error) {
	req := factory.Call("open", name, version)
	upgrade := js.FuncOf(func(this js.Value, args []js.Value) any {
		db := req.Get("result")
		db.Call("createObjectStore", valueRows)
		db.Call("createObjectStore", keyRows)
		return nil
	})
	defer upgrade.Release()
	req.Set("onupgradeneeded", upgrade)
	if err := settle(req, "onsuccess", "onerror", "onblocked"); err != nil {
		return js.Undefined(), err
	}
	return req.Get("result"), nil
}

func (v *vault) close() { v.db.Call("close") }

// loadKey gets the wrapping key; a new database gets a new one.
func (v *vault) loadKey() (js.Value, error) {
	tx := v.db.Call("transaction", keyRows, "readonly")
	req := tx.Call("objectStore", keyRows).Call("get", wrapKey)
	if err := settle(tx, "oncomplete", "onerror", "onabort"); err != nil {
		return js.Undefined(), err
	}
	if key := req.Get("result"); key.Truthy() {
		return key, nil
	}
	const extractable = false
	key, err := await(v.subtle.Call("generateKey",
		map[string]any{"name": "AES-GCM", "length": 256}, extractable, []any{"encrypt", "decrypt"}))
	if err != nil {
		return js.Undefined(), err
	}
	tx = v.strict(keyRows)
	tx.Call("objectStore", keyRows).Call("put", key, wrapKey)
	return key, settle(tx, "oncomplete", "onerror", "onabort")
}

// strict begins a transaction that is complete when it is on disk.
func (v *vault) strict(rows ...any) js.Value {
	return v.db.Call("transaction", rows, "readwrite", map[string]any{"durability": "strict"})
}

// load reads and opens all values.
func (v *vault) load() (map[string][]byte, error) {
	tx := v.db.Call("transaction", valueRows, "readonly")
	rows := tx.Call("objectStore", valueRows)
	names, sealed := rows.Call("getAllKeys"), rows.Call("getAll")
	if err := settle(tx, "oncomplete", "onerror", "onabort"); err != nil {
		return nil, err
	}
	names, sealed = names.Get("result"), sealed.Get("result")
	opening := make([]any, names.Length())
	for i := range opening {
		opening[i] = v.open(names.Index(i), sealed.Index(i))
	}
	opened, err := await(js.Global().Get("Promise").Call("all", opening))
	if err != nil {
		return nil, ErrDamaged
	}
	values := make(map[string][]byte, len(opening))
	for i := range opening {
		values[names.Index(i).String()] = fromJS(opened.Index(i))
	}
	return values, nil
}

// write makes the changes durable, all or none. Sealing comes first: an IndexedDB
// transaction ends by itself when it is left alone.
func (v *vault) write(changes map[string][]byte) (err error) {
	defer recovered(&err)
	var names []string
	var sealing []any
	for name, value := range changes {
		if value != nil {
			names = append(names, name)
			sealing = append(sealing, v.seal(name, value))
		}
	}
	sealed, err := await(js.Global().Get("Promise").Call("all", sealing))
	if err != nil {
		return err
	}
	tx := v.strict(valueRows, keyRows)
	mine, done := v.checkOwner(tx)
	defer done()
	rows := tx.Call("objectStore", valueRows)
	for i, name := range names {
		rows.Call("put", v.row(sealing[i].(js.Value), sealed.Index(i)), name)
	}
	for name, value := range changes {
		if value == nil {
			rows.Call("delete", name)
		}
	}
	err = settle(tx, "oncomplete", "onerror", "onabort")
	if !*mine {
		return ErrTakenOver
	}
	return err
}

// checkOwner looks, first thing in tx, whether the database is still this vault's,
// and aborts tx if not. done releases what it needs until tx has settled.
func (v *vault) checkOwner(tx js.Value) (mine *bool, done func()) {
	mine = new(bool)
	req := tx.Call("objectStore", keyRows).Call("get", ownerKey)
	check := js.FuncOf(func(js.Value, []js.Value) any {
		if *mine = req.Get("result").String() == v.owner; !*mine {
			tx.Call("abort")
		}
		return nil
	})
	req.Set("onsuccess", check)
	return mine, check.Release
}

// seal returns a promise of value's ciphertext; its property nonce is the nonce.
func (v *vault) seal(name string, value []byte) js.Value {
	nonce := js.Global().Get("Uint8Array").New(nonceSize)
	v.crypto.Call("getRandomValues", nonce)
	promise := v.subtle.Call("encrypt", gcm(nonce, name), v.key, toJS(value))
	promise.Set("nonce", nonce)
	return promise
}

// row is nonce ‖ ciphertext.
func (v *vault) row(promise, ciphertext js.Value) js.Value {
	bytes := js.Global().Get("Uint8Array")
	ct := bytes.New(ciphertext)
	row := bytes.New(nonceSize + ct.Length())
	row.Call("set", promise.Get("nonce"))
	row.Call("set", ct, nonceSize)
	return row
}

// open returns a promise of a row's plaintext.
func (v *vault) open(name, row js.Value) js.Value {
	return v.subtle.Call("decrypt", gcm(row.Call("subarray", 0, nonceSize), name.String()),
		v.key, row.Call("subarray", nonceSize))
}

// gcm is the AesGcmParams: the value is bound to its name.
func gcm(nonce js.Value, name string) map[string]any {
	return map[string]any{"name": "AES-GCM", "iv": nonce, "additionalData": toJS([]byte(name))}
}
