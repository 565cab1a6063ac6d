"""What a run says, typed once: stages build these objects, everyone else reads them."""
