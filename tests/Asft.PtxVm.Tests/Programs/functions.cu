// CUDA's own functions, as libdevice spells them in PTX.
struct Arguments
{
    const float* x;
    float* y;
    const double* xd;
    double* yd;
    int count;
};

extern "C" __global__ void functions(const Arguments a)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= a.count)
    {
        return;
    }

    float x = a.x[i];
    float* y = a.y + i;
    y[0 * a.count] = logf(x);
    y[1 * a.count] = expf(x);
    y[2 * a.count] = log1pf(x);
    y[3 * a.count] = expm1f(x);
    y[4 * a.count] = tanhf(x);
    y[5 * a.count] = sqrtf(x);
    y[6 * a.count] = powf(x, 1.5f);
    y[7 * a.count] = x / 3.0f;
    y[8 * a.count] = sinf(x * 100000.0f);
    y[9 * a.count] = erff(x);
    double d = a.xd[i];
    double* z = a.yd + i;
    z[0 * a.count] = log(d);
    z[1 * a.count] = exp(d);
    z[2 * a.count] = log1p(d);
    z[3 * a.count] = tanh(d);
    z[4 * a.count] = sqrt(d);
    z[5 * a.count] = 1.0 / d;
    z[6 * a.count] = pow(d, 1.5);
    z[7 * a.count] = rsqrt(d);
}

static __device__ __noinline__ int collatz(unsigned int n)
{
    int steps = 0;
    while (n != 1)
    {
        n = n % 2 == 0 ? n / 2 : 3 * n + 1;
        steps++;
    }

    return steps;
}

struct Walk
{
    const unsigned int* starts;
    int* steps;
    int count;
};

// Trip counts that differ from thread to thread, a call, early returns, a switch.
extern "C" __global__ void walks(const Walk a)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= a.count)
    {
        return;
    }

    unsigned int n = a.starts[i];
    if (n == 0)
    {
        a.steps[i] = -1;
        return;
    }

    int steps = collatz(n);
    switch (n % 5)
    {
        case 0: steps += 1000; break;
        case 1: steps = -steps; break;
        case 2: steps ^= 0x55; break;
        case 3: steps *= 3; break;
        default: break;
    }

    a.steps[i] = steps;
}
