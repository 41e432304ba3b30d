/*
 * The code that all subgraphs share, compiled as one: reading the headers takes longer than compiling any part.
 */
#include "plan.cc"
#include "primitives.cc"
#include "subgraph.cc"
#include "views.cc"
