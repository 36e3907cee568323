// Functions of real numbers, those of musl's libm. Pure; errors are NaN and infinities.
#pragma once

namespace os {

double sin(double x);
double cos(double x);
double exp(double x);
double log(double x);
double sqrt(double x);

} // namespace os
