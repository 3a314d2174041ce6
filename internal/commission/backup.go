package commission

import (
	"context"
	"errors"

	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

// backup is the plaintext of a backup: the site credential with its rights, and
// the devices with their owner keys, what settings they have confirmed, templates, and
// the log of emergency lights. Group keys, sequence numbers and jobs are
// not in it: another browser joins the groups by itself, and sessions with
// devices need no sequence numbers.
type backup struct {
	Version uint            `cbor:"1,keyasint"`
	Site    *siteRecord     `cbor:"2,keyasint"`
	Devices []*deviceRecord `cbor:"3,keyasint"`
	Groups  []string        `cbor:"4,keyasint"`
	Kept    []keptRecord    `cbor:"5,keyasint,omitempty"`
}

const (
	backupVersion = 1
	minPassphrase = 8 // characters
)

var errOtherSite = problem("site-exists", "This browser manages this site already, with another key.", "Restore the backup in another browser, or clear this page's data first.")

// Backup is the site as an armored age file.
func (e *Engine) Backup(ctx context.Context, passphrase string) (string, error) {
	s, err := e.site()
	switch {
	case err != nil:
		return "", err
	case e.cfg.Sealer == nil:
		return "", errNoBackup
	case len([]rune(passphrase)) < minPassphrase:
		return "", errShort
	}
	content := s.backup()
	if content.Kept, err = s.keptRecords(ctx); err != nil {
		return "", errStorage.because(err)
	}
	file, err := e.cfg.Sealer.Seal(ctx, cbor.MustMarshal(content), passphrase)
	if err != nil {
		return "", errNoBackup.because(err)
	}
	if err := s.update(ctx, func(r *siteRecord) { r.BackedUp = s.covered(content) }); err != nil {
		return "", asProblem(err)
	}
	e.info("", "a backup of the site was made")
	e.pub.flush()
	return file, nil
}

func (s *site) backup() backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := backup{Version: backupVersion, Site: s.rec}
	for _, d := range s.devices {
		r := *d.rec
		// What is on its way, and Sender IDs that may be others' by then, stay here.
		r.Handover, r.Problem, r.Groups = nil, nil, nil
		for _, p := range d.rec.Groups {
			r.Groups = append(r.Groups, place{Group: p.Group})
		}
		b.Devices = append(b.Devices, &r)
	}
	for name := range s.groups {
		b.Groups = append(b.Groups, name)
	}
	return b
}

// covered reports whether a backup has all owner keys: sealing takes a while, and
// devices are claimed meanwhile.
func (s *site) covered(b backup) bool {
	saved := map[string]string{}
	for _, r := range b.Devices {
		saved[r.id()] = string(r.OwnerKey)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.devices {
		if d.rec.claimed() && saved[id] != string(d.rec.OwnerKey) {
			return false
		}
	}
	return true
}

// outdate notes that the backup lacks an owner key.
func (s *site) outdate(ctx context.Context) error {
	s.updating.Lock() // a backup that is just being noted counts
	backedUp := s.record().BackedUp
	s.updating.Unlock()
	if !backedUp {
		return nil
	}
	return s.update(ctx, func(r *siteRecord) { r.BackedUp = false })
}

// Restore takes a backup on this browser, which then manages the devices. What it
// has of the same site already is kept where it is newer.
func (e *Engine) Restore(ctx context.Context, file, passphrase string) (Site, error) {
	if e.cfg.Sealer == nil {
		return Site{}, errNoBackup
	}
	plain, err := e.cfg.Sealer.Open(ctx, file, passphrase)
	if err != nil {
		return Site{}, errPassphrase.because(err)
	}
	var b backup
	if err := cbor.Unmarshal(plain, &b); err != nil || b.Version != backupVersion || !b.Site.enrolled() {
		return Site{}, errBackup
	}
	clear(plain)
	b.Site.BackedUp = true
	name := siteName(b.Site.ASCred)
	if err := e.unpack(ctx, name, &b); err != nil {
		return Site{}, err
	}
	if err := e.signIn(ctx, string(b.Site.Code)); err != nil {
		e.logProblem("", "signing in at the bridge", err)
	}
	if err := e.reenter(ctx, name); err != nil {
		return Site{}, asProblem(err)
	}
	e.info("", "a backup of the site was restored")
	e.pub.tellAll(e.snapshotEvent)
	e.pub.flush()
	return e.current().shown(), nil
}

// unpack writes a backup into the store and makes its site the current one.
func (e *Engine) unpack(ctx context.Context, name string, b *backup) error {
	err := e.cfg.Store.Update(ctx, func(root store.Tx) error {
		tx := under{root, "site/" + name + "/"}
		old, err := get[siteRecord](tx, keySite)
		if err != nil {
			return err
		}
		if old.enrolled() && string(old.Cred) != string(b.Site.Cred) {
			return errOtherSite
		}
		writes := []write{{keySite, b.Site}}
		for _, d := range b.Devices {
			have, err := get[deviceRecord](tx, preDevice+d.id())
			if err != nil {
				return err
			}
			if have == nil || !have.claimed() {
				writes = append(writes, write{preDevice + d.id(), d})
			}
		}
		for _, g := range b.Groups {
			if have, err := tx.Get(preGroup + g); err == nil && have == nil {
				writes = append(writes, write{preGroup + g, groupRecord{}})
			}
		}
		for _, r := range b.Kept {
			if have, err := tx.Get(r.Key); err != nil {
				return err
			} else if r.restorable(have) {
				writes = append(writes, write{r.Key, cbor.RawMessage(r.Value)})
			}
		}
		return errors.Join(apply(tx, writes), root.Put(keyCurrent, []byte(name)))
	})
	var known *Error
	if err != nil && !errors.As(err, &known) {
		return errStorage.because(err)
	}
	return err
}

// under is the view of a transaction on the keys with a prefix.
type under struct {
	store.Tx
	prefix string
}

func (u under) Get(key string) ([]byte, error)     { return u.Tx.Get(u.prefix + key) }
func (u under) Put(key string, value []byte) error { return u.Tx.Put(u.prefix+key, value) }
func (u under) Delete(key string) error            { return u.Tx.Delete(u.prefix + key) }

// reenter loads the site of that name anew.
func (e *Engine) reenter(ctx context.Context, name string) error {
	e.moving.Lock()
	if old := e.current(); old != nil && old.name == name {
		old.leave()
		e.mu.Lock()
		e.cur = nil
		e.mu.Unlock()
	}
	e.moving.Unlock()
	return e.enter(ctx, name)
}
