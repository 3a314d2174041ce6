package gm

import (
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// rekeyJob is the durable job that tells the members of a group of its latest keys;
// the next rekeying's takes its place. Who has the keys already is in the members'
// own [memberProgress], so that the transaction of a rekeying writes nothing for
// each of them.
type rekeyJob struct {
	Num     uint64   `cbor:"1,keyasint"` // the version of the keys that it brings
	Reason  Reason   `cbor:"2,keyasint"`
	Started int64    `cbor:"3,keyasint"` // milliseconds since 1970
	Ended   int64    `cbor:"4,keyasint"` // 0: under way
	EXI     uint64   `cbor:"5,keyasint"` // in messages to many, which stay the same
	Joined  []string `cbor:"6,keyasint"` // NODENAMEs of who joined by it
	Cover   []uint64 `cbor:"7,keyasint"` // the subtrees that messages to many are for; nil: point to point
	Sent    int      `cbor:"8,keyasint"` // how often those were sent
	Next    int64    `cbor:"9,keyasint"` // when they are sent again, milliseconds since 1970
}

// toMany says whether the job has messages that go to many.
func (j *rekeyJob) toMany() bool { return len(j.Cover) > 0 }

// memberProgress is how far a member is.
type memberProgress struct {
	Has   uint64 `cbor:"1,keyasint"` // one more than the version of the keys that it is known to have
	Job   uint64 `cbor:"2,keyasint"` // the version that what follows is about
	State state  `cbor:"3,keyasint"`
	Tries int    `cbor:"4,keyasint"`
	Next  int64  `cbor:"5,keyasint"` // when it is tried again, milliseconds since 1970
}

// state is where a member stands in a rekeying.
type state uint8

const (
	statePending   state = iota // it is to be told
	stateTold                   // it was told, and has not confirmed it
	stateFailed                 // it could not be told; it will have to ask
	stateConfirmed              // it has the keys
	stateBarred                 // it gets no keys over the associations that it has
	stateAsks                   // nothing leads to it: it will have to ask
)

func jobKey(name string) string            { return "r/j/" + name }
func progressKey(name, node string) string { return "r/p/" + name + "/" + node }

// loadProgress reads how far a member is; the zero value when nothing is known.
func loadProgress(tx store.Tx, name, node string) (memberProgress, error) {
	p, err := load[memberProgress](tx, progressKey(name, node))
	if err != nil || p == nil {
		return memberProgress{}, err
	}
	return *p, nil
}

// has notes that a member has a version of the keys.
func (g *groupRecord) has(tx store.Tx, node string, num uint64) error {
	p, err := loadProgress(tx, g.Name, node)
	if err != nil || p.Has > num {
		return err
	}
	return save(tx, progressKey(g.Name, node), &memberProgress{Has: num + 1})
}

// openJobs lists the groups whose rekeying is under way.
func openJobs(tx store.Tx) ([]string, error) {
	var names []string
	err := tx.Scan(jobKey(""), func(key string, data []byte) bool {
		j, err := ace.Decode[rekeyJob](data)
		if err == nil && j.Ended == 0 {
			names = append(names, strings.TrimPrefix(key, jobKey("")))
		}
		return true
	})
	return names, err
}

// rekeyingMessage is what a member is told. KGO, Section 11.1.
func (g *groupRecord) rekeyingMessage(tx store.Tx, job *rekeyJob, exi uint64) (*ace.RekeyingMessage, error) {
	msg := &ace.RekeyingMessage{
		GKTY: ace.GKTYGroupOSCORE, Profile: ace.ProfileCoAPGroupOSCOREApp,
		Key: ace.KeyMaterial{MasterSecret: g.MasterSecret, Salt: g.MasterSalt, GID: g.GID},
		Num: g.Num, EXP: g.Expires, EXI: exi, StaleIDs: [][]byte{},
	}
	for _, set := range g.Stale {
		if set.Num+1 == g.Num {
			msg.StaleIDs = append(msg.StaleIDs, set.SIDs...)
		}
	}
	var joined []*memberRecord
	for _, node := range job.Joined {
		m, err := load[memberRecord](tx, memberKey(g.Name, node))
		if err != nil {
			return nil, err
		}
		if m != nil && m.Cred != nil {
			joined = append(joined, m)
		}
	}
	if len(joined) > 0 {
		msg.Creds, msg.PeerRoles, msg.PeerIDs = arrays(joined)
	}
	return msg, nil
}
