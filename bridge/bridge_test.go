package main

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"
)

// TestPorts reads --port, alone, as a range and several.
func TestPorts(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []portRange
	}{
		{nil, []portRange{{1024, 65535}}},
		{[]string{"--port", "5683"}, []portRange{{5683, 5683}}},
		{[]string{"--port", "5683-5699", "--port", "6000"}, []portRange{{5683, 5699}, {6000, 6000}}},
		{[]string{"--port", "5683,5690-5691"}, []portRange{{5683, 5683}, {5690, 5691}}},
		{[]string{"--port", "0"}, nil},
		{[]string{"--port", "70000"}, nil},
		{[]string{"--port", "9-5"}, nil},
		{[]string{"--port", "coap"}, nil},
	} {
		var cmd bridgeCmd
		parser, err := kong.New(&cmd)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(append([]string{"--data", t.TempDir()}, c.args...))
		if (err == nil) != (c.want != nil) || err == nil && !reflect.DeepEqual(cmd.Ports, c.want) {
			t.Errorf("%v: %v, %v", c.args, cmd.Ports, err)
		}
	}
}
