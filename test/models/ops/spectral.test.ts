import { describeGradients } from '#test/support/describe-gradients.ts';
import { spectralCases } from './cases/spectral.ts';

describeGradients('spectra', spectralCases);
