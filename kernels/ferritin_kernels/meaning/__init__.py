"""What each kernel computes, in plain numpy of any precision: the specification that the tests hold the kernels to."""
