package holder

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lamplighter/internal/settings"
)

// docs/settings.md names the times and sizes that a device keeps to.
func TestTimesInTheDocs(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		fmt.Sprintf("after %d s it is dropped", settings.StageLife),
		fmt.Sprintf("a nonce of %d random bytes", settings.NonceSize),
		fmt.Sprintf("good once and for %d s", settings.NonceLife),
		fmt.Sprintf("the time of the commit, or %d s", settings.DefaultConfirm),
		fmt.Sprintf("after the %s restart", []string{"first", "second", "third", "fourth"}[maxRestarts]),
		fmt.Sprintf("the change is dropped (%d)", settings.ResultTime),
	} {
		if !strings.Contains(string(docs), words) {
			t.Errorf("it does not say %q", words)
		}
	}
}
