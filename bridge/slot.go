package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

const (
	maxSlots     = 61
	lampsPerNet  = 250
	netsPerSlot  = 4
	maxLamps     = lampsPerNet * netsPerSlot
	coapPort     = 5683
	serversFirst = 5700 // AS and GM of slot 0; the next slots follow
)

// slot is a block of loopback addresses and ports, so that several demos run
// side by side: lamps on 127.1.x.y:5683, one multicast group with a port of its
// own, AS and GM on 127.0.0.1.
type slot struct {
	number int
	group  netip.AddrPort
	as, gm netip.AddrPort
	lock   net.Listener
}

func slotAt(n int) slot {
	port := coapPort
	if n > 0 {
		port = serversFirst + 2*maxSlots + n // groups on one port would hear each other
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return slot{
		number: n,
		group:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 1, 187}), uint16(port)),
		as:     netip.AddrPortFrom(loopback, uint16(serversFirst+2*n)),
		gm:     netip.AddrPortFrom(loopback, uint16(serversFirst+2*n+1)),
	}
}

// lamp gives the address of lamp i, from 0.
func (s slot) lamp(i int) netip.AddrPort {
	third := s.number*netsPerSlot + i/lampsPerNet
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(third), byte(1 + i%lampsPerNet)}), coapPort)
}

func (s slot) release() { s.lock.Close() }

// takeSlot takes slot n, or for -1 the one that the data folder had before, or
// else the first free one. A TCP listener on the AS's address is the lock.
func takeSlot(n int, data string) (slot, error) {
	file := filepath.Join(data, "demo.json")
	var kept struct{ Slot int }
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &kept); err != nil {
			return slot{}, fmt.Errorf("reading %s: %w", file, err)
		}
		n = kept.Slot // devices know their AS and GM by address
	case !errors.Is(err, fs.ErrNotExist):
		return slot{}, err
	}
	s, err := lockSlot(n)
	if err != nil {
		return slot{}, err
	}
	kept.Slot = s.number
	text, err = json.Marshal(kept)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	return s, err
}

func lockSlot(n int) (slot, error) {
	first, last := n, n
	if n < 0 {
		first, last = 0, maxSlots-1
	}
	if last >= maxSlots {
		return slot{}, fmt.Errorf("slots go from 0 to %d", maxSlots-1)
	}
	var err error
	for i := first; i <= last; i++ {
		s := slotAt(i)
		if s.lock, err = net.Listen("tcp", s.as.String()); err == nil {
			return s, nil
		}
	}
	return slot{}, fmt.Errorf("another demo runs in that place; end it, or give another --data or --slot: %w", err)
}
