package as

import "lamplighter/internal/store/schema"

// upgrades lead from each format of the store to the next, from format 1 on. A
// change of what a record means goes with a step here and the store of the older
// format in testdata.
var upgrades []schema.Step
