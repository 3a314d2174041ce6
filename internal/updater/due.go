package updater

import (
	"time"

	"lamplighter/internal/firmware"
)

// Due is when Tick has something to do, and whether there is such a time. It changes
// with every request and every Tick.
func (u *Updater) Due() (time.Time, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.due()
}

func (u *Updater) due() (time.Time, bool) {
	switch {
	case u.over:
		return time.Time{}, false
	case !u.restart.IsZero():
		return u.restart, true
	case u.testing:
		return u.deadline, true
	case u.switching != nil:
		return u.switching.at, true
	case u.rx != nil:
		return u.rx.fed.Add(firmware.SessionLife * time.Second), true
	}
	return time.Time{}, false
}

// Tick does what is due: a scheduled switch, going back to the image before, dropping
// a session that was left.
func (u *Updater) Tick() {
	if u.tick() {
		u.cfg.Reboot()
	}
}

// tick says whether the device has to restart.
func (u *Updater) tick() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.cfg.Now()
	if at, ok := u.due(); !ok || now.Before(at) {
		return false
	}
	switch {
	case !u.restart.IsZero():
		u.over = true
	case u.testing:
		if err := u.giveUp("Nobody confirmed the new image in time."); err != nil {
			u.log.Error("the restart will find it", "err", err)
		}
		u.over = true
	case u.switching != nil:
		w := u.switching
		if u.rec.Trial == nil {
			if err := u.arm(w); err != nil {
				u.log.Error("a switch did not take place", "err", err)
				u.switching = nil
				return false
			}
		}
		u.over = true
	default:
		next := u.rec.clone()
		next.end(firmware.ResultExpired, "Nobody sent a block for a week.")
		if err := u.commit(next); err != nil {
			u.log.Error("a session that was left could not be dropped", "err", err)
			u.rx.fed = now // again in a week
		}
	}
	return u.over
}
