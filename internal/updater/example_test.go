package updater_test

import (
	"context"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/sim/flash"
	"lamplighter/internal/suit"
	"lamplighter/internal/updater"
)

// A device that leaves the factory with an image, and what it says of itself.
func ExampleOpen() {
	vendor := suit.VendorID("lamps.example")
	class := suit.ClassID(vendor, "lamp-2")
	u, err := updater.Open(updater.Config{
		Flash: flash.NewMemory(1<<20, 4096), Vendor: vendor[:], Class: class[:],
		Factory: []byte("an image"), FactorySequence: 1,
		Ability: updater.Ability{Parity: 32},
		Start:   func([]byte) (version string, err error) { return "1.0", nil },
		Reboot:  func() {}, // the owner opens another Updater over the same flash
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := coap.NewMux()
	u.Register(mux, func(h coap.HandlerFunc) coap.HandlerFunc { return h }) // here is who may
	ask := firmware.StatusRequest{Fields: firmware.FieldRunning | firmware.FieldAbility}
	resp := mux.Serve(context.Background(), &coap.Request{Message: coap.NewRequest(coap.FETCH, firmware.PathStatus, ask.Append(nil))})
	status, err := firmware.ParseStatus(resp.Payload)
	fmt.Println(status.State, err)
	fmt.Println(status.Running.Version, status.Running.Sequence, status.Ability.Block, status.Ability.K, status.Ability.Parity)
	// Output:
	// nothing is under way <nil>
	// 1.0 1 1024 64 32
}
