package sim

import (
	"math/rand/v2"
	"sync"
)

// Gilbert is a process that loses datagrams in bursts: a chain of two states, in one
// of which every datagram is lost and in the other none. (E. N. Gilbert, Capacity of
// a Burst-Noise Channel, 1960.) It is safe for concurrent use.
type Gilbert struct {
	mu    sync.Mutex
	rng   *rand.Rand
	begin float64 // probability that a burst begins with the next datagram
	end   float64 // probability that it is over with the next datagram
	loss  float64
	lossy bool
}

// NewGilbert makes a process that loses a share of all datagrams (0 to 1) in bursts
// of a mean length, in datagrams; up to 1/(1-loss) losses are independent. Equal
// seeds lose alike.
func NewGilbert(seed uint64, loss, burst float64) *Gilbert {
	g := &Gilbert{rng: rand.New(rand.NewPCG(seed, 0x6711be27))}
	g.Set(loss, burst)
	return g
}

// Set changes share and length from now on.
func (g *Gilbert) Set(loss, burst float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case loss <= 0:
		g.begin, g.end = 0, 1
	case loss >= 1:
		g.begin, g.end = 1, 0
	default:
		g.end = min(1/burst, 1-loss) // independent: the next one is lost with the same probability
		if burst <= 0 {
			g.end = 1 - loss
		}
		g.begin = g.end * loss / (1 - loss)
	}
	g.loss = loss
	g.lossy = g.rng.Float64() < loss
}

// rest forgets whether a burst goes on.
func (g *Gilbert) rest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lossy = g.rng.Float64() < g.loss
}

// Lost says whether the next datagram is lost.
func (g *Gilbert) Lost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if draw := g.rng.Float64(); g.lossy {
		g.lossy = draw >= g.end
	} else {
		g.lossy = draw < g.begin
	}
	return g.lossy
}
