package rollout

import (
	"context"
	"slices"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

const (
	window      = 16 // blocks between two looks at an acker
	leastWindow = 8  // blocks for a measurement of loss
	mostOffers  = 2  // that one device gets alone

	allParity = firmware.MaxSymbols - firmware.MaxK // blocks of a generation
)

// order returns the blocks in the order of sending: the first of each generation,
// then the second of each. A burst of losses so takes few of any one.
func order(l firmware.Layout) (blocks []int) {
	_, most := l.Generation(0)
	for i := range most {
		for g := range l.Generations() {
			if first, k := l.Generation(g); i < k {
				blocks = append(blocks, first+i)
			}
		}
	}
	return blocks
}

// pass sends the source blocks that were not sent yet, and parity for what will have
// been lost of them.
func (s *Sender) pass(ctx context.Context) error {
	if s.st.Phase != Sending {
		return nil
	}
	s.fresh = false // what devices were asked before says nothing of what follows
	if err := s.sources(ctx); err != nil {
		return err
	}
	s.decide()
	if err := s.keep(); err != nil {
		return err
	}
	if err := s.proactive(ctx); err != nil {
		return err
	}
	return s.enter(Verifying)
}

func (s *Sender) sources(ctx context.Context) error {
	for _, b := range order(s.l) {
		if !bit(s.st.Todo, b) {
			continue
		}
		if err := s.offer(ctx); err != nil {
			return err
		}
		g, idx := s.l.Place(b)
		if err := s.block(ctx, g, idx); err != nil {
			return err
		}
		s.mu.Lock()
		setBit(s.st.Todo, b, false)
		s.st.Generations[g].Open = true
		s.mu.Unlock()
	}
	return nil
}

// decide says how much parity follows the generations whose source blocks went out.
func (s *Sender) decide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	loss := s.loss()
	for g := range s.st.Generations {
		gen := &s.st.Generations[g]
		if _, k := s.l.Generation(g); gen.Open && !s.st.Bitmap {
			gen.Owed = uint(firmware.Proactive(k, loss))
		}
		gen.Open = false
	}
}

// proactive sends the parity that is owed, interleaved over as many generations as
// devices have room for: a parity block waits there until its generation is solved.
func (s *Sender) proactive(ctx context.Context) error {
	var owing []int
	most := uint(1)
	for g, gen := range s.st.Generations {
		if gen.Owed > 0 {
			owing, most = append(owing, g), max(most, gen.Owed)
		}
	}
	width := max(1, int(s.room()/most))
	for chunk := range slices.Chunk(owing, width) {
		for more := true; more; {
			more = false
			for _, g := range chunk {
				if s.st.Generations[g].Owed == 0 {
					continue
				}
				if err := s.repairBlock(ctx, g); err != nil {
					return err
				}
				s.mu.Lock()
				s.st.Generations[g].Owed--
				s.mu.Unlock()
				more = true
			}
		}
	}
	return nil
}

// room is how many parity blocks the smallest decoder holds.
func (s *Sender) room() uint {
	room := uint(firmware.MaxGenerations * firmware.MaxK)
	for i := range s.st.Devices {
		if d := &s.st.Devices[i]; d.Parity > 0 && (d.State == Receiving || d.State == Waiting) {
			room = min(room, d.Parity)
		}
	}
	return room
}

// loss is what the devices that were heard lose on average, or what was expected.
func (s *Sender) loss() float64 {
	sum, n := 0.0, 0
	for i := range s.st.Devices {
		if d := &s.st.Devices[i]; d.Span > 0 && (d.State == Receiving || d.State == Verified) {
			sum, n = sum+d.Loss, n+1
		}
	}
	if n == 0 {
		return s.st.Options.Loss
	}
	return sum / float64(n)
}

// repairBlock sends a further block of a generation: parity that was not sent yet,
// and source blocks again when there is none left.
func (s *Sender) repairBlock(ctx context.Context, g int) error {
	gen := s.st.Generations[g]
	_, k := s.l.Generation(g)
	index := firmware.MaxK + int(gen.First-firmware.MaxK+gen.Parity)%allParity
	if gen.Parity >= allParity {
		index = int(gen.Parity-allParity) % k
	}
	s.mu.Lock()
	s.st.Generations[g].Parity++
	s.mu.Unlock()
	return s.block(ctx, g, index)
}

// content makes the bytes of a block.
func (s *Sender) content(g, index int) []byte {
	first, k := s.l.Generation(g)
	source := func(j int) []byte {
		at := (first + j) * s.l.Block
		return s.p.Image[at : at+s.l.Length(first+j)]
	}
	if index < k {
		return source(index)
	}
	dst := make([]byte, s.l.Block)
	firmware.Encode(dst, index, source, k)
	return dst
}

func (s *Sender) blockRequest(g, index int) *coap.Message {
	b := firmware.Block{Session: s.st.Session, Generation: uint(g), Index: uint(index), Bytes: s.content(g, index)}
	return request(coap.PUT, firmware.PathBlock, b.Append(nil))
}

// block sends one block to all, and looks around after every window of them.
func (s *Sender) block(ctx context.Context, g, index int) error {
	if err := s.gate(ctx); err != nil {
		return err
	}
	if err := s.send(ctx, s.blockRequest(g, index), 1); err != nil {
		return err
	}
	s.mu.Lock()
	s.st.Sent++
	s.places[firmware.Number(uint(g), uint(index))] = s.st.Sent
	s.st.Generations[g].Sent++
	if index >= firmware.MaxK {
		s.st.Parity++
	}
	s.mu.Unlock()
	if s.st.Sent%window == 0 {
		return s.look16(ctx)
	}
	s.show(false)
	return nil
}

// look16 saves, waits for the next hop and asks an acker.
func (s *Sender) look16(ctx context.Context) error {
	if err := s.keep(); err != nil {
		return err
	}
	if err := s.drain(ctx); err != nil {
		return err
	}
	if err := s.ask(ctx); err != nil {
		return err
	}
	if err := s.rollCall(ctx); err != nil {
		return err
	}
	s.show(false)
	return nil
}

// nextAcker chooses whom to ask: in turn, and every fourth time the worst receiver.
func (s *Sender) nextAcker() string {
	ids := s.list(Receiving)
	if len(ids) == 0 {
		return ""
	}
	s.turn++
	if s.turn%4 == 0 {
		return slices.MaxFunc(ids, func(a, b string) int {
			return compare(s.device(a).Loss, s.device(b).Loss)
		})
	}
	return ids[(s.turn-s.turn/4-1)*max(1, len(ids)/window)%len(ids)]
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
