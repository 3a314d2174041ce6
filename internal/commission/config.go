package commission

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/store"
)

// Config is what an [Engine] runs on. Store and Exchange are required.
type Config struct {
	Store    store.Store
	Exchange coap.Exchanger                               // the way to AS, GM and devices
	SignIn   func(ctx context.Context, code string) error // trades the invitation's access code at the bridge; nil: there is none
	Sealer   Sealer                                       // nil: no backups
	Events   func(Event)                                  // called one at a time; nil: dropped
	Logger   Logger                                       // nil: silence
	Now      func() time.Time                             // nil: time.Now
	Rand     io.Reader                                    // nil: crypto/rand; safe for concurrent use
	Verify   Verifier                                     // nil: in Go
	Clock    groupcomm.Clock                              // of rollouts; nil: Now, and timers
	Version  string                                       // what the snapshot and the diagnostics say
	Record   bool                                         // switch the nonce recorder on, for tests
	Tuning   Tuning
}

// Tuning holds waits and limits; zero values mean the defaults in brackets.
type Tuning struct {
	Timeout     time.Duration // for one exchange [10 s]
	Leisure     time.Duration // how long devices spread their multicast answers [1 s]
	Grace       time.Duration // what is added to Leisure before silence counts [400 ms]
	Discovery   time.Duration // how long a discovery listens [2 s]
	FollowUp    time.Duration // how long a silent device is waited for when asked again [5 s]
	Backoff     time.Duration // before the second try of a job's item; doubles [1 s]
	Tries       int           // of a job's item [4]
	Concurrency int           // devices that a job works on at a time [8]
	Follow      int           // silent devices that a roll call asks at a time [16]
	Ask         time.Duration // how often the Group Manager is asked for what it does not tell [30 s]
	Chase       time.Duration // how often devices are tried that have an older list of commissioners [5 min]
	Renew       time.Duration // how often an observation is registered anew [20 min]
}

// Signature is one to be verified over Message.
type Signature struct {
	Public       cose.PublicKey
	Message, Sig []byte
}

// Verifier verifies the signatures of answers that came together; it may wait. It
// must not accept what [cose.PublicKey.Verify] refuses.
type Verifier interface {
	Verify(batch []Signature) []bool // one word for each
}

// inGo verifies one by one.
type inGo struct{}

func (inGo) Verify(batch []Signature) []bool {
	good := make([]bool, len(batch))
	for i, s := range batch {
		good[i] = s.Public.Verify(s.Message, s.Sig)
	}
	return good
}

// Sealer encrypts backups with a passphrase: age files in the browser and
// natively.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, passphrase string) (armored string, err error)
	Open(ctx context.Context, armored, passphrase string) (plaintext []byte, err error)
}

func (t Tuning) withDefaults() Tuning {
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orInt := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	orDuration(&t.Timeout, 10*time.Second)
	orDuration(&t.Leisure, time.Second)
	orDuration(&t.Grace, 400*time.Millisecond)
	orDuration(&t.Discovery, 2*time.Second)
	orDuration(&t.FollowUp, 5*time.Second)
	orDuration(&t.Backoff, time.Second)
	orDuration(&t.Ask, 30*time.Second)
	orDuration(&t.Chase, 5*time.Minute)
	orDuration(&t.Renew, 20*time.Minute)
	orInt(&t.Tries, 4)
	orInt(&t.Concurrency, 8)
	orInt(&t.Follow, 16)
	return t
}

func (c Config) withDefaults() (Config, error) {
	if c.Store == nil || c.Exchange == nil {
		return c, errors.New("commission: a Config needs a Store and an Exchange")
	}
	if c.Events == nil {
		c.Events = func(Event) {}
	}
	if c.Logger == nil {
		c.Logger = silence()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Verify == nil {
		c.Verify = inGo{}
	}
	c.Tuning = c.Tuning.withDefaults()
	return c, nil
}
