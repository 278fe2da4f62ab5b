// The Gateway API conformance suite, whole and unchanged, as one test program.
// Everything is chosen by its flags.
package conformance_test

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) {
	conformance.RunConformance(t)
}
