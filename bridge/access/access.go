// Package access is the list of who may use the bridge: one small file a person
// in the data folder. The Authorization Server's process writes it ([Folder]),
// the bridge follows it ([Reader]); they need not be one process.
//
//	DATA/access/ID.json = {"id": "…", "name": "Ann", "hash": "hex", "expires": seconds, "revoked": seconds}
//
// A file holds the SHA-256 hash of an access code, never the code: codes are of
// 128 random bits, so the hash tells nobody what the code is. A revoked person's
// file stays a while, for the bridge to say why the door is shut.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// folder is where the files are, within the data folder.
const folder = "access"

const (
	suffix   = ".json"
	codeSize = 16 // bytes
	// remembered is how long a revoked person's file stays: longer than any
	// session that the bridge gave out.
	remembered = 60 * 24 * time.Hour
)

// Entry is one person's access.
type Entry struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Hash    string `json:"hash"`              // SHA-256 of the access code, in hex
	Expires int64  `json:"expires,omitempty"` // seconds since 1970; 0: when it is revoked
	Revoked int64  `json:"revoked,omitempty"` // seconds since 1970; 0: it is not
}

// ErrID is returned for an id that cannot be a file's name.
var ErrID = errors.New("unusable id of an access")

var usable = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// Hash gives what is kept of an access code.
func Hash(code string) [sha256.Size]byte { return sha256.Sum256([]byte(code)) }

// Folder writes the list. One process does, and it is safe for concurrent use.
type Folder struct {
	dir string
	now func() time.Time
	mu  sync.Mutex
}

// Open prepares the list in a data folder.
func Open(data string, now func() time.Time) (*Folder, error) {
	dir := filepath.Join(data, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of who may use the bridge: %w", err)
	}
	return &Folder{dir: dir, now: now}, nil
}

// Grant makes a new access code, which opens the bridge until expires; the zero
// time is until it is revoked. It returns when that is durable. The code is not
// kept anywhere.
func (f *Folder) Grant(id, name string, expires time.Time) (code string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, err := f.load(id); err != nil || old != nil {
		return "", errors.Join(err, fmt.Errorf("%w: %q has one", ErrID, id))
	}
	if err := f.sweep(); err != nil {
		return "", err
	}
	random := make([]byte, codeSize)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	code = base64.RawURLEncoding.EncodeToString(random)
	hash := Hash(code)
	e := Entry{ID: id, Name: name, Hash: hex.EncodeToString(hash[:])}
	if !expires.IsZero() {
		e.Expires = expires.Unix()
	}
	return code, f.save(e)
}

// Keep gives an access another end, none with the zero time: who holds the code
// has enrolled. Again, and for one that is unknown or revoked, it does nothing.
func (f *Folder) Keep(id string, until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := int64(0)
	if !until.IsZero() {
		end = until.Unix()
	}
	e, err := f.load(id)
	if err != nil || e == nil || e.Expires == end || e.Revoked != 0 {
		return err
	}
	e.Expires = end
	return f.save(*e)
}

// Revoke ends an access; the bridge notices within a second or two. Again, and
// for one that is unknown, it does nothing.
func (f *Folder) Revoke(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.load(id)
	if err != nil || e == nil || e.Revoked != 0 {
		return err
	}
	e.Revoked = f.now().Unix()
	return f.save(*e)
}

// sweep forgets what expired unused, and whom nobody asks about any more. A file
// that cannot be read stays: the bridge reports it.
func (f *Folder) sweep() (err error) {
	entries, _, _ := NewReader(filepath.Dir(f.dir)).Read()
	now := f.now()
	for _, e := range entries {
		if e.Revoked != 0 && now.After(time.Unix(e.Revoked, 0).Add(remembered)) ||
			e.Revoked == 0 && e.Expires != 0 && now.After(time.Unix(e.Expires, 0)) {
			err = errors.Join(err, os.Remove(f.file(e.ID)))
		}
	}
	return err
}

func (f *Folder) file(id string) string { return filepath.Join(f.dir, id+suffix) }

// load reads an entry; nil when there is none.
func (f *Folder) load(id string) (*Entry, error) {
	if !usable.MatchString(id) {
		return nil, fmt.Errorf("%w: %q", ErrID, id)
	}
	text, err := os.ReadFile(f.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := parse(id+suffix, text)
	return &e, err
}

func parse(name string, text []byte) (e Entry, err error) {
	err = json.Unmarshal(text, &e)
	hash, hexErr := hex.DecodeString(e.Hash)
	if err != nil || hexErr != nil || len(hash) != sha256.Size || !usable.MatchString(e.ID) || e.ID != strings.TrimSuffix(name, suffix) {
		return e, fmt.Errorf("%s is no access of anybody: restore it from your backup, or remove it and invite again", name)
	}
	return e, nil
}

// save replaces the file in one step: a crash leaves the old or the new one.
func (f *Folder) save(e Entry) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keeping who may use the bridge: %w", err)
		}
	}()
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.dir, e.ID+".*.tmp") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.file(e.ID)); err != nil {
		return err
	}
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
