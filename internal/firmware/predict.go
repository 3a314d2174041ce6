package firmware

import "math"

// Proactive is how many parity blocks follow the k source blocks of a generation
// before anybody was asked, when datagrams are lost with probability loss: what one
// receiver lacks on average, and two standard deviations.
func Proactive(k int, loss float64) int {
	if loss <= 0 {
		return 0
	}
	loss = min(loss, 0.5)
	return int(math.Ceil(float64(k)*loss/(1-loss) + 2*math.Sqrt(float64(k)*loss)))
}

// Crowd is receivers that lose the same share of what is sent, independently.
type Crowd struct {
	N    int
	Loss float64 // 0 to below 1
}

// Bound is how many blocks must be sent, on average, until each receiver has k of
// them: the expected maximum over the receivers of the negative binomial
// distribution. No code and no protocol needs fewer where losses are independent.
func Bound(k int, crowds ...Crowd) float64 { return AtLeast(k, k, crowds...) }

// AtLeast is [Bound] for a sender that sends least blocks in any case: the expected
// value of the greater of the two.
//
//	E = least + sum over t >= least of 1 - product over crowds of F(t)^N
//
// F(t) is the probability that a receiver has k of t blocks.
func AtLeast(k, least int, crowds ...Crowd) float64 {
	type receiver struct{ logp, cdf float64 } // log P(the k-th arrives at t), F(t)
	at := make([]receiver, len(crowds))
	for i, c := range crowds {
		at[i] = receiver{logp: float64(k) * math.Log1p(-c.Loss)}
		at[i].cdf = math.Exp(at[i].logp)
	}
	expected := float64(least)
	for t := k; ; t++ {
		logAll := 0.0
		for i, c := range crowds {
			logAll += float64(c.N) * math.Log(min(at[i].cdf, 1))
		}
		rest := -math.Expm1(logAll)
		if t >= least {
			expected += rest
		}
		over := t >= least
		for i, c := range crowds {
			// P(t+1) = P(t) * t/(t+1-k) * loss
			at[i].logp += math.Log(float64(t) / float64(t+1-k) * c.Loss)
			at[i].cdf += math.Exp(at[i].logp)
			past := float64(t)*(1-c.Loss) > float64(k)
			over = over && (c.Loss == 0 || past && float64(c.N)*math.Exp(at[i].logp) < 1e-12)
		}
		if over || rest < 1e-9 {
			return max(expected, float64(least))
		}
	}
}

// Bytes of one message beside its block, in UDP payloads. RFC 10021, Section 8 and
// docs/firmware.md.
const (
	OverheadGroup    = 104 // a block in group mode: CoAP, OSCORE, tag, countersignature, the block's head
	OverheadPairwise = 40  // a block in pairwise mode
	OverheadAnswer   = 20  // an answer in pairwise mode
	overheadBlocks   = 6   // Block1 and its more of options, in a block-wise transfer
)

// Prediction is what sending an image takes.
type Prediction struct {
	Blocks         int     // by multicast, parity too
	Bytes          int     // of all datagrams, both ways
	Seconds        float64 // on air at the rate
	UnicastBytes   int     // the same by a block-wise transfer to each device
	UnicastSeconds float64
}

// Predict says what sending an image in this layout to a number of devices takes,
// with a loss and a rate of the link in bit/s.
func (l Layout) Predict(devices int, loss, rate float64) Prediction {
	if devices == 0 || l.Check() != nil {
		return Prediction{}
	}
	loss = min(max(loss, 0), 0.5)
	var p Prediction
	blocks, seen := 0.0, map[int]float64{}
	for g := range l.Generations() {
		_, k := l.Generation(g)
		if seen[k] == 0 { // there are two sizes at most
			seen[k] = AtLeast(k, k+Proactive(k, loss), Crowd{devices, loss})
		}
		blocks += seen[k]
	}
	p.Blocks = int(math.Ceil(blocks))
	const sweeps = 2
	answer := OverheadAnswer + 16 + l.Generations()
	p.Bytes = p.Blocks*(l.Block+OverheadGroup) + sweeps*(OverheadGroup+devices*answer)
	datagrams := float64(l.Blocks()) / ((1 - loss) * (1 - loss)) // the block and its acknowledgement arrive
	p.UnicastBytes = devices * int(datagrams*float64(l.Block+OverheadPairwise+overheadBlocks+OverheadAnswer))
	if rate > 0 {
		p.Seconds, p.UnicastSeconds = float64(p.Bytes)*8/rate, float64(p.UnicastBytes)*8/rate
	}
	return p
}
