package change

import "lamplighter/internal/settings"

const (
	likelyLoss = 0.05 // of datagrams, each way
	stepHead   = 34   // bytes of a step around its patch
	aloneHead  = 40   // bytes of a message to one device around its body
	statusSize = 60   // bytes of an answer that says where a device stands
	eachAsked  = 6    // messages to a device that is asked alone: read, check, stage, commit, look, confirm
)

// Cost is what a change takes, from reading what the devices run, with a dry run, to the
// confirmation.
type Cost struct {
	Requests int `cbor:"1,keyasint"` // as in [View.Requests]
	Bytes    int `cbor:"2,keyasint"` // both ways
	OneByOne int `cbor:"3,keyasint"` // requests, were each device asked alone
}

// forecast adds up what is likely to be sent.
type forecast struct{ requests, bytes float64 }

// ask is a question with a body to n devices of a group; each is named with so many
// bytes where not all are meant, as in repetitions.
func (f *forecast) ask(n int, body, named float64) {
	const back = (1 - likelyLoss) * (1 - likelyLoss)
	rest := float64(n)
	for try := 0; try < groupTries && rest > fewAlone; try++ {
		f.requests++
		f.bytes += overhead + body + rest*((1-likelyLoss)*statusSize)
		if try > 0 {
			f.bytes += named * rest
		}
		rest *= 1 - back
	}
	f.alone(rest, body)
}

func (f *forecast) alone(n, body float64) {
	f.requests += n
	f.bytes += n * (aloneHead + body + statusSize) / (1 - likelyLoss)
}

func (f *forecast) tell(copies int, body float64) {
	f.requests += float64(copies)
	f.bytes += float64(copies) * (overhead + body)
}

// predict says what a planned change will have taken when it is confirmed.
func (r *Run) predict() Cost {
	ids := r.st.list()
	n := len(ids)
	if n == 0 {
		return Cost{Requests: r.st.Requests, Bytes: r.st.Bytes}
	}
	f := forecast{requests: float64(r.st.Requests), bytes: float64(r.st.Bytes)}
	each := r.st.Options.Alone
	nonces := float64(n * settings.NonceSize)
	for _, b := range r.batches(ids) {
		t := settings.Transaction{Patch: b.patch}
		step, many := float64(len(t.Append(nil))+stepHead), len(b.ids)
		if each || many <= fewAlone {
			f.alone(float64(2*many), step) // check and stage
			continue
		}
		f.ask(many, step, 2)
		if r.st.Network {
			f.ask(many, step, 2)
		} else {
			f.tell(stageCopies, step)
		}
	}
	switch {
	case each:
		f.alone(float64(3*n), settings.NonceSize)
	case r.st.Options.At.IsZero() && r.st.Options.In < askedAhead:
		f.tell(announcements, nonces)
		fallthrough
	default:
		f.ask(n, 0, 2) // look
		f.ask(n, nonces, 0)
		if !r.st.Options.At.IsZero() || r.st.Options.In >= askedAhead {
			f.ask(n, nonces, 0)
		}
	}
	return Cost{Requests: int(f.requests + 0.5), Bytes: int(f.bytes), OneByOne: eachAsked * n}
}
