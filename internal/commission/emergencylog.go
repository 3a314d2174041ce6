package commission

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"

	"lamplighter/internal/store"
)

// maxTestLog is how many lines the log of a site has: the oldest go.
const maxTestLog = 10_000

// testRecord is a line of the log.
type testRecord struct {
	Group string         `cbor:"1,keyasint"`
	Entry EmergencyEntry `cbor:"2,keyasint"`
}

// testWrite is a line of the log; the same one again takes the place of the first.
func testWrite(group string, entry EmergencyEntry) write {
	key := fmt.Sprintf("%s%013d-%s-%s", preTest, entry.At, group, cmp.Or(entry.Device, entry.Result))
	return write{key, testRecord{group, entry}}
}

// EmergencyLog is the log of a group's emergency lights, newest first.
func (e *Engine) EmergencyLog(ctx context.Context, group string) ([]EmergencyEntry, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return nil, err
	}
	list, keys := []EmergencyEntry{}, []string{}
	err = s.db.View(ctx, func(tx store.Tx) error {
		return scan(tx, preTest, func(key string, r *testRecord) {
			keys = append(keys, key)
			if r.Group == g.name {
				list = append(list, r.Entry)
			}
		})
	})
	if err == nil {
		err = s.trimLog(ctx, keys, maxTestLog)
	}
	slices.SortStableFunc(list, func(a, b EmergencyEntry) int { return cmp.Compare(b.At, a.At) })
	return list, asError(err)
}

// trimLog drops the oldest lines where there are more than most.
func (s *site) trimLog(ctx context.Context, keys []string, most int) error {
	slices.Sort(keys) // they begin with the time
	var writes []write
	for _, key := range keys[:max(0, len(keys)-most)] {
		writes = append(writes, write{preTest + key, nil})
	}
	if len(writes) == 0 {
		return nil
	}
	return s.commit(ctx, writes...)
}

// EmergencyLogCSV is the log as a table.
func (e *Engine) EmergencyLogCSV(ctx context.Context, group string) (string, error) {
	list, err := e.EmergencyLog(ctx, group)
	if err != nil {
		return "", err
	}
	s, err := e.site()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"time", "device", "name", "place", "kind", "result", "battery_percent", "minutes", "text"})
	for _, x := range list {
		row := []string{timeCell(x.At), x.Device, "", "", x.Kind, x.Result, "", "", plainCell(x.Text)}
		if d, err := s.device(x.Device); err == nil {
			r := s.of(d)
			row[2], row[3] = plainCell(r.Name), plainCell(r.Place)
		}
		if x.Battery >= 0 {
			row[6] = strconv.Itoa(x.Battery)
		}
		if x.Kind == "duration" {
			row[7] = strconv.Itoa(x.Minutes)
		}
		w.Write(row)
	}
	w.Flush()
	return out.String(), w.Error()
}
