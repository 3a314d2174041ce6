package device

import (
	"errors"
	"testing"
	"time"

	"lamplighter/internal/settings"
)

func TestOccupancy(t *testing.T) {
	b := newBuilding(t, 2)
	lamps, in := b.configured(2), b.anna
	l := lamps[0]
	in.set(l, settings.Map{7: int64(9), 8: int64(60)})
	in.set(lamps[1], settings.Map{7: int64(8)})
	seen := map[int]any{1: true, 4: 9}
	if got := in.cast(lightMessage(seen)); len(got) != 1 {
		t.Fatalf("%d answer", len(got))
	}
	if s := l.lamp.State(); !s.Light.On || !s.Occupied || lamps[1].lamp.State().Light.On {
		t.Fatalf("%+v", s)
	}
	b.pass(59 * time.Second)
	in.cast(lightMessage(seen))
	b.pass(59 * time.Second)
	if !l.lamp.State().Light.On {
		t.Error("off while somebody is there")
	}
	b.pass(time.Second)
	if s := l.lamp.State(); s.Light.On || s.Occupied {
		t.Errorf("the room is empty: %+v", s)
	}
	in.cast(lightMessage(seen))
	in.lit(l, on(false))
	in.cast(lightMessage(seen))
	if l.lamp.State().Light.On {
		t.Error("a sensor overrules who switched it off")
	}
	in.lit(l, on(true))
	b.pass(61 * time.Second)
	if !l.lamp.State().Light.On {
		t.Error("off, though somebody switched it on")
	}
}

// What sensors say during an emergency shows when it ends.
func TestOccupancyInAnEmergency(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.configured(1)[0], b.anna
	in.set(l, settings.Map{7: int64(9), 8: int64(60)})
	seen := map[int]any{1: true, 4: 9}
	emergency := func(on bool) {
		t.Helper()
		if got := in.lit(l, map[int]any{1: true, 2: 100, 3: 1}); !on {
			if got = in.lit(l, map[int]any{3: 0}); got.Priority != 0 {
				t.Fatalf("%+v", got)
			}
		}
	}
	in.cast(lightMessage(seen))
	emergency(true)
	b.pass(61 * time.Second)
	if s := l.lamp.State(); !s.Light.On || s.Occupied {
		t.Fatalf("%+v", s)
	}
	emergency(false)
	if l.lamp.State().Light.On {
		t.Error("the room was left in the emergency, and the light stays on")
	}
	emergency(true)
	in.cast(lightMessage(seen))
	emergency(false)
	if !l.lamp.State().Light.On {
		t.Error("somebody came in the emergency, and stands in the dark after it")
	}
	b.pass(61 * time.Second)
	if l.lamp.State().Light.On {
		t.Error("on in an empty room")
	}
}

func TestSendersWithoutSettings(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.configured(1)[0]
	if err := l.lamp.Press(t.Context(), 0); !errors.Is(err, errNoButton) {
		t.Error(err)
	}
	b.anna.set(l, settings.Map{30: settings.Map{0: settings.Map{1: "hall"}, 1: settings.Map{1: "cellar"}}})
	for button := range uint(2) { // it may answer only; it is no member
		if err := l.lamp.Press(t.Context(), button); !errors.Is(err, errNoGroup) {
			t.Errorf("button %d: %v", button, err)
		}
	}
}
