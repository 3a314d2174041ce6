package join_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
)

// A device offers before it knows the challenge, and signs what it offered.
func ExampleOffer_Prove() {
	key := keyOf("lamp")
	cred := cose.NewCCS("lamp", key.Public().(ed25519.PublicKey))
	offer := join.NewOffer("hall", ace.RoleResponder, cred, bytes.NewReader([]byte("N_C 8 by")))

	ns := []byte("N_S 8 by") // the Group Manager's, carried by the installer's browser
	proof := offer.Prove(key, ns)

	fmt.Printf("scope %x\n", offer.Scope)
	fmt.Println(ed25519.Verify(key.Public().(ed25519.PublicKey), ace.PoPInput(offer.Scope, ns, offer.NC), proof))
	// Output:
	// scope 826468616c6c04
	// true
}
