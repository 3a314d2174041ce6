package rollout_test

import (
	"bytes"
	"encoding/binary"
	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/sim"
	"time"
)

// lamp is a device that counts blocks instead of decoding them: quick, and it lies and
// breaks as it is told. TestRealFleet has the real ones.
type lamp struct {
	w       *world
	id      string
	zone    string
	loss    *sim.Gilbert
	ability firmware.Ability

	// Faults.
	off, lies, left bool
	bootLoop        bool
	badFlash        int // it fails after so many blocks; 0: never
	deaf            int // datagrams it does not hear yet
	noGroup         bool
	lag             bool                         // it answers one question to its group before it reads what waits
	lose            func(req *coap.Message) bool // of what goes to the group; nil: nothing more
	foreign         []byte
	slow            func() int // how many blocks still wait to be read when it answers somebody who asks it alone
	queue           [][]byte   // that wait

	state     firmware.State
	result    firmware.Result
	running   firmware.Running
	before    firmware.Running
	minimum   uint64
	staged    bool
	session   []byte
	layout    firmware.Layout
	source    [][]bool
	parity    []map[uint]bool
	heard     uint
	last      uint // block that arrived
	nonce     []byte
	quoted    []byte
	switchAt  time.Time
	within    time.Duration
	revertAt  time.Time
	back      time.Time // it is away until then
	switched  time.Time
	activated bool
	again     int // blocks of generations that it had already
}

func (l *lamp) now() time.Time { return l.w.now }

func (l *lamp) hears() bool {
	lost := l.loss.Lost()
	if l.deaf > 0 {
		l.deaf--
		return false
	}
	return !lost && !l.off && !l.left && !l.now().Before(l.back)
}

// receive takes what was sent to the group; a slow lamp reads blocks later.
func (l *lamp) receive(req *coap.Message) {
	if l.slow != nil && coap.Path(req) == firmware.PathBlock {
		l.queue = append(l.queue, req.Payload)
		l.catchUp(l.slow())
		return
	}
	l.catchUp(0)
	l.serve(req)
}

// catchUp reads blocks until so many wait.
func (l *lamp) catchUp(left int) {
	for ; len(l.queue) > left; l.queue = l.queue[1:] {
		l.block(l.queue[0])
	}
}

// tick does what is due.
func (l *lamp) tick() {
	switch {
	case l.off:
	case l.state == firmware.Updating && !l.now().Before(l.switchAt):
		l.boot()
	case l.state == firmware.Testing && !l.now().Before(l.revertAt):
		l.goBack(firmware.ResultReverted)
	}
}

func (l *lamp) boot() {
	l.switched, l.activated = l.switchAt, true
	l.before = l.running
	l.back = l.now().Add(2 * time.Second)
	l.running.Boots++
	if l.bootLoop {
		l.running.Boots += 3
		l.state, l.result, l.session = firmware.Idle, firmware.ResultBootLoop, nil
		return
	}
	l.running.Sequence, l.running.Digest, l.running.Version = l.w.man.Sequence, l.w.man.Image[:8], l.w.man.Version
	l.state, l.revertAt = firmware.Testing, l.now().Add(l.within)
}

func (l *lamp) goBack(why firmware.Result) {
	boots := l.running.Boots + 1
	l.running = l.before
	l.running.Boots, l.state, l.result, l.session = boots, firmware.Idle, why, nil
	l.back = l.now().Add(2 * time.Second)
}

func (l *lamp) serve(req *coap.Message) *coap.Message { return l.handle(req, false) }

// handle serves a request to it alone or to its group; nil: it says nothing.
func (l *lamp) handle(req *coap.Message, group bool) *coap.Message {
	switch coap.Path(req) {
	case firmware.PathStatus:
		r, err := firmware.ParseStatusRequest(req.Payload)
		if err != nil {
			return coap.Problem(coap.BadRequest, err.Error())
		}
		if r.Absent && group && bytes.Equal(l.session, r.Session) {
			return nil
		}
		st := l.status(r)
		return coap.Respond(coap.Content, coap.FormatCBOR, st.Append(nil))
	case firmware.PathManifest:
		l.staged = true
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	case firmware.PathSession:
		return l.openSession(req.Payload)
	case firmware.PathBlock:
		return l.block(req.Payload)
	}
	return l.activate(req.Payload)
}

func (l *lamp) status(r firmware.StatusRequest) firmware.Status {
	st := firmware.Status{State: l.state}
	mine := l.session != nil && (len(r.Session) == 0 || bytes.Equal(r.Session, l.session))
	if l.state == firmware.Downloaded || l.state == firmware.Updating {
		st.Ready = l.w.man.Image[:8]
		if l.lies {
			st.Ready = bytes.Repeat([]byte{0xee}, 8)
		}
	}
	if r.Fields&firmware.FieldRunning != 0 {
		running := l.running
		st.Running = &running
	}
	if r.Fields&firmware.FieldProgress != 0 {
		st.Result = l.result
		if mine {
			st.Session, st.Heard, st.Last = l.session, l.heard, l.last
			for g := range l.source {
				st.Deficits = append(st.Deficits, byte(l.deficit(g)))
			}
		}
	}
	if r.Fields&firmware.FieldMissing != 0 && mine {
		st.Session, st.Missing = l.session, l.missing()
	}
	if r.Fields&firmware.FieldAbility != 0 {
		a := l.ability
		st.Ability = &a
	}
	if r.Fields&firmware.FieldNonce != 0 {
		l.nonce = binary.BigEndian.AppendUint64(nil, l.w.rng.Uint64())
		st.Nonce = l.nonce
	}
	if r.Fields&firmware.FieldFeeder != 0 && l.foreign != nil {
		st.Feeder, st.FedAgo = l.foreign, 5
	}
	return st
}

func (l *lamp) openSession(body []byte) *coap.Message {
	r, err := firmware.ParseSessionRequest(body)
	if err != nil {
		return coap.Problem(coap.BadRequest, err.Error())
	}
	if r.Op == firmware.OpAbort {
		if l.state != firmware.Testing && bytes.Equal(l.session, r.Session) {
			l.state, l.session, l.result = firmware.Idle, nil, firmware.ResultCanceled
		}
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	if bytes.Equal(l.session, r.Session) {
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	if l.session != nil && l.foreign != nil { // fed a moment ago
		return coap.Problem(coap.Conflict, "The device receives another image.")
	}
	if !l.staged || l.running.Sequence >= l.w.man.Sequence {
		return coap.Problem(coap.PreconditionFailed, "The manifest has to come first.")
	}
	l.layout = firmware.Layout{Size: len(l.w.image), Block: int(r.Block), K: int(r.K)}
	l.session, l.state, l.result, l.heard = r.Session, firmware.Downloading, firmware.ResultNone, 0
	l.source, l.parity = nil, nil
	for g := range l.layout.Generations() {
		_, k := l.layout.Generation(g)
		l.source, l.parity = append(l.source, make([]bool, k)), append(l.parity, map[uint]bool{})
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

func (l *lamp) deficit(g int) int {
	n := len(l.source[g]) - len(l.parity[g])
	for _, have := range l.source[g] {
		if have {
			n--
		}
	}
	return max(n, 0)
}

func (l *lamp) missing() []byte {
	bitmap := make([]byte, (l.layout.Blocks()+7)/8)
	for b := range l.layout.Blocks() {
		if g, i := l.layout.Place(b); !l.source[g][i] {
			bitmap[b/8] |= 0x80 >> (b % 8)
		}
	}
	return bitmap
}

func (l *lamp) block(body []byte) *coap.Message {
	b, err := firmware.ParseBlock(body)
	if err != nil || !bytes.Equal(b.Session, l.session) {
		return coap.Problem(coap.PreconditionFailed, "not open")
	}
	if b.Index >= firmware.MaxK && l.ability.Parity == 0 {
		return coap.Problem(coap.NotImplemented, "no decoder")
	}
	l.heard++
	l.last = firmware.Number(b.Generation, b.Index)
	if l.state != firmware.Downloading || l.deficit(int(b.Generation)) == 0 {
		l.again++
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	if l.badFlash > 0 && int(l.heard) >= l.badFlash {
		l.state, l.result, l.session = firmware.Idle, firmware.ResultFailed, nil
		return coap.Problem(coap.InternalServerError, "flash")
	}
	if b.Index < firmware.MaxK {
		first, _ := l.layout.Generation(int(b.Generation))
		at := (first + int(b.Index)) * l.layout.Block
		if !bytes.Equal(b.Bytes, l.w.image[at:at+l.layout.Length(first+int(b.Index))]) {
			l.w.t.Errorf("block %d of generation %d has other bytes", b.Index, b.Generation)
		}
		l.source[b.Generation][b.Index] = true
	} else {
		l.parity[b.Generation][b.Index] = true
	}
	if l.deficit(int(b.Generation)) == 0 {
		for i := range l.source[b.Generation] {
			l.source[b.Generation][i] = true
		}
		clear(l.parity[b.Generation])
	}
	for g := range l.source {
		if l.deficit(g) > 0 {
			return coap.Respond(coap.Changed, coap.NoFormat, nil)
		}
	}
	l.state = firmware.Downloaded
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

func (l *lamp) activate(body []byte) *coap.Message {
	r, err := firmware.ParseActivateRequest(body)
	if err != nil {
		l.w.t.Error(err)
		return coap.Problem(coap.BadRequest, err.Error())
	}
	refused := coap.Problem(coap.PreconditionFailed, "no")
	repeats := l.state == firmware.Updating && r.Mode == firmware.ModeTest && r.Quotes(l.quoted)
	if !repeats && !r.Quotes(l.nonce) {
		return refused
	}
	if !repeats {
		l.quoted, l.nonce = l.nonce, nil
	}
	switch {
	case r.Mode == firmware.ModeTest:
		if l.state != firmware.Downloaded && !repeats || l.lies || !bytes.Equal(r.Digest, l.w.man.Image[:8]) {
			l.w.t.Errorf("%s was told to switch in state %d, lies %v", l.id, l.state, l.lies)
			return refused
		}
		at := l.now().Add(time.Duration(r.In) * time.Millisecond)
		if !repeats || at.Before(l.switchAt) {
			l.switchAt = at
		}
		l.state, l.within = firmware.Updating, time.Duration(r.Within)*time.Second
	case r.Mode == firmware.ModeConfirm && l.state == firmware.Testing:
		l.state, l.result, l.session, l.minimum = firmware.Idle, firmware.ResultSuccess, nil, l.running.Sequence
	case r.Mode == firmware.ModeRevert && l.state == firmware.Testing:
		l.goBack(firmware.ResultReverted)
	case r.Mode == firmware.ModeCancel && l.state == firmware.Updating:
		l.state = firmware.Downloaded
	default:
		return refused
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}
