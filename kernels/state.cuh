// All that is known of a row once its logits have been read, as it crosses the seam: src/Asft.Kernels/RowState.cs has the same layout and
// says what each number means, and a test holds the two together. In float64, in units of y, measured from maxima.
#pragma once

struct RowState {
    double max; // 0 while none is above -inf
    double sum;
    double otherSum; // without the label's own term
    double referenceMax;
    double referenceSum;
    double center; // reverse: the reference's y that differences are measured from
    double cross;
    double distance; // with label smoothing: the sum of (y - max)/V over what is not masked
    double unmasked; // with label smoothing: the share of V that is not masked
    double label; // 0 where another shard has it
    double referenceLabel;
    double entropy; // this and the next two are summed by "complete" alone
    double squares;
    double tailSum;
    double largest; // the largest logit itself
    long long predicted; // and where in the whole vocabulary it is first
};

static_assert(sizeof(RowState) == 128, "layout");
