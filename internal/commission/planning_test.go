package commission

import (
	"reflect"
	"testing"
)

// asks are what the page heard of plans that were being made.
func (b *browser) asks() (all []GroupAsk) {
	b.Engine.pub.flush()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ev := range b.events {
		if ev.Type == "planning" {
			all = append(all, *ev.Planning)
		}
	}
	return all
}

// While a plan is made the page hears whom it waits for, a few by name.
func TestPlanningIsTold(t *testing.T) {
	w := newFwWorld(t, 3)
	b := w.commissioned(&tap{})
	s, err := b.Engine.site()
	if err != nil {
		t.Fatal(err)
	}
	devices, err := s.chosen(w.ids())
	if err != nil {
		t.Fatal(err)
	}
	p := &planning{s: s, group: hall}
	for _, step := range []struct {
		do   func()
		want GroupAsk
	}{
		{func() { p.begin(idsOf(devices)) }, GroupAsk{Asked: 3, Waiting: w.ids()}},
		{func() { p.asked(w.ids()[1], true) }, GroupAsk{Asked: 3, Answered: 1, Waiting: []string{w.ids()[0], w.ids()[2]}}},
		{func() { p.asked(w.ids()[0], true) }, GroupAsk{Asked: 3, Answered: 2, Waiting: w.ids()[2:]}},
		{func() { p.asked(w.ids()[2], false) }, GroupAsk{Asked: 3, Answered: 2, Silent: 1, Waiting: []string{}}},
		{func() { p.begin(idsOf(devices)) }, GroupAsk{Asked: 3, Waiting: w.ids()}},
	} {
		step.do()
		step.want.Group = hall
		if asks := b.asks(); !reflect.DeepEqual(asks[len(asks)-1], step.want) {
			t.Errorf("the page heard %+v, want %+v", asks[len(asks)-1], step.want)
		}
	}
}

// A plan of settings and its dry run tell whom they wait for, and who stayed silent.
func TestSettingsPlanIsTold(t *testing.T) {
	w := newCfgWorld(t, 4)
	b := w.commissioned(&tap{})
	w.net.Down(w.lamps[2].addr, true)
	c := wanted(map[string]any{"3": 1000.0})
	if _, err := b.PlanSettings(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	asks := b.asks()
	if want := (GroupAsk{Group: hall, Asked: 4, Answered: 3, Silent: 1, Waiting: []string{}}); !reflect.DeepEqual(asks[len(asks)-1], want) {
		t.Errorf("after the plan the page heard %+v, want %+v", asks[len(asks)-1], want)
	}
	if _, err := b.CheckSettings(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	asks = b.asks()
	if want := (GroupAsk{Group: hall, Asked: 3, Answered: 3, Waiting: []string{}}); !reflect.DeepEqual(asks[len(asks)-1], want) {
		t.Errorf("after the dry run the page heard %+v, want %+v", asks[len(asks)-1], want)
	}
}
